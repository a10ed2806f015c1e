"""A page for every query whose first candidate is not what was wanted."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.failure_index import Entry
from eval.report.failure_pages import file_name
from eval.report.page_frame import page
from eval.report.qa_tables import shown_commit
from eval.report.retrieval_figures import NamedRetrieval, is_hit, relevant_ranks
from eval.report.tables import Table, html_table, html_text
from eval.retrieval_records import RankingRecord

CAUSES = ("tied for rank 1", "found at rank 2 to 10", "found below rank 10", "not found")
_MOST_CANDIDATES = 20


def missed_queries(records: Sequence[RankingRecord]) -> list[RankingRecord]:
    """Those whose first candidate is not relevant, or not in every order of equal scores."""
    return [record for record in records if not is_hit(record)]


def retrieval_entry(record: RankingRecord, page_name: str | None) -> Entry:
    """A missed query as it stands in the list."""
    best = _best_rank(record)
    facts = (f"query {record.query_id}", f"rank {best}" if best else "")
    gold = {"modality": (record.gold_modality,)} if record.gold_modality else {}
    return Entry(
        record.text, _cause(best), {**gold, **record.groups}, tuple(filter(None, facts)), page_name
    )


def retrieval_page_name(record: RankingRecord) -> str:
    """File name of a query's page."""
    return file_name(record.query_id, "query")


def retrieval_page(record: RankingRecord, run: NamedRetrieval) -> str:
    """The page of one missed query."""
    header = run.run.header
    labels = [f"{name}: {', '.join(values)}" for name, values in sorted(record.groups.items())]
    about = " · ".join([f"query {record.query_id}", *labels])
    cause = _cause(_best_rank(record))
    body = [
        f'<nav><a href="index.html">All failures of {html_text(run.name)}</a></nav>',
        f"<h1>{html_text(record.text)}</h1>",
        f'<p><span class="bad">{html_text(cause)}</span> · {html_text(about)}</p>',
        html_table(_relevant_table(record, header.depth)),
        html_table(_found_table(record)),
        f'<p class="note">{html_text(header.arm_details)} · {html_text(header.benchmark)} '
        f"{html_text(header.split)}, {html_text(header.source)} · commit "
        f"{html_text(shown_commit(header.commit))}</p>",
    ]
    return page(f"{record.query_id}: {cause}", "\n".join(body))


def _relevant_table(record: RankingRecord, depth: int) -> Table:
    rows = tuple(
        (name, str(record.relevant[name]), str(rank) if rank else f"not in the first {depth}")
        for name, rank in relevant_ranks(record).items()
    )
    return Table("relevant", "What is relevant", ("candidate", "grade", "rank"), rows)


def _found_table(record: RankingRecord) -> Table:
    rows = tuple(
        (
            each.candidate_id,
            str(rank),
            f"{each.score:.4f}",
            each.modality or "–",
            str(record.relevant.get(each.candidate_id, 0)),
        )
        for rank, each in enumerate(record.found[:_MOST_CANDIDATES], start=1)
    )
    hidden = len(record.found) - len(rows)
    return Table(
        "found",
        "What was found",
        ("candidate", "rank", "score", "best by", "grade"),
        rows,
        (f"{hidden} more were found.",) if hidden else (),
    )


def _best_rank(record: RankingRecord) -> int | None:
    return min((rank for rank in relevant_ranks(record).values() if rank), default=None)


def _cause(best: int | None) -> str:
    if best is None:
        return CAUSES[3]
    return CAUSES[0] if best == 1 else CAUSES[1] if best <= 10 else CAUSES[2]
