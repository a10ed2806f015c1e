"""The tables of `eval/results`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

import numpy as np

from eval.paper.figures import ROLES, Role
from eval.paper.intervals import MEASURES, Samples
from eval.paper.ranking import BUDGETS, MOVED, NAMED, POOLINGS, at_budget
from eval.paper.study import FUSIONS, MAIN, SINGLES, Queries, Study
from eval.report.numbers import NONE, percent, percent_with_interval, points_with_interval
from eval.report.tables import Table
from eval.stats import Interval
from eval.synthetic.questions import KINDS

LABELS = {
    "joint": "joint encoding",
    "joint-token-max": "joint encoding, searched by token_max",
    **{f"joint-{name}": f"joint encoding, {name} vectors only" for name in SINGLES},
    **{name: f"{name} alone" for name in SINGLES},
    "max": "encoded apart, the best modality (max)",
    "mean": "encoded apart, mean",
    "mean-z": "encoded apart, mean of standard scores",
    "rrf": "encoded apart, reciprocal ranks (RRF)",
    "router": "encoded apart, router",
    "router-gold": "encoded apart, router that is told the modality",
    "bm25": "BM25 over all texts",
}
"""Of rows, in the order of the tables."""
_PAPER = {
    "joint": "58.5",
    "video": "40.7",
    "ocr": "43.2",
    "asr": "43.9",
    "description": "47.1",
    "mean": "23.0",
    "router": "20.5",
}
_TRAINED = {
    "modality_max": "modality_max",
    "token_max": "token_max",
    "separate": "modalities encoded apart",
}
_AimKind = Literal["at least", "at most", "chance"]


def all_tables(study: Study) -> list[Table]:
    """In the order in which they are read."""
    makers: Sequence[Callable[[Study], Table]] = (
        aims,
        against_the_rest,
        training_scorers,
        kinds_of_queries,
        named_modalities,
        confusion,
        missing,
        contradicted,
        controls,
        budgets,
        weights,
    )
    return [make(study) for make in makers]


def aims(study: Study) -> Table:
    """What was to be shown, and whether it was."""
    single, fusion = study.best_of(SINGLES), study.best_of(FUSIONS)
    # Pooling can help modalities that are encoded apart: then that is the one to beat.
    pools = [at_budget("max", str(budget), way) for budget, way in product(BUDGETS, POOLINGS)]
    pooled = study.best_of([*FUSIONS, *pools])
    pictures = study.about_pictures
    alone = study.samples("video", "R@1", queries=pictures)
    rows = [
        _aim(f"leads the best single modality ({single})", _lead(study, single), 0.2),
        _aim(f"leads the best fusion ({fusion})", _lead(study, fusion), 0.05),
        _aim(f"leads the best fusion at any budget ({pooled})", _lead(study, pooled), 0.05),
        _aim("names the modality asked about", study.named_rightly("joint"), 0.85),
        _aim("pictures found first, by frames alone", alone, 0.8),
    ]
    for name in NAMED:
        lost = _lost(study, "joint", f"joint-without-{name}", study.not_about(name[0]))
        rows.append(_aim(f"lost by others without {name}", lost, 0.03, "at most"))
    for control in ("blank", "shuffled"):
        found = study.samples(f"video-{control}", "R@1")
        chance = 1 / study.figures.num_clips
        rows.append(_aim(f"{control} frames: pictures found first", found, chance, "chance"))
    notes = (
        "Points of nDCG@10, and shares in percent. Reached: all of the interval is on the right "
        "side, or its mean alone. A control reaches chance if its interval begins there or below.",
    )
    heads = ("joint encoding", "aim", "measured [95 %]", "reached")
    return Table("aims", "What was to be shown", heads, tuple(rows), notes, 2)


def against_the_rest(study: Study) -> Table:
    """Joint encoding, single modalities, fusions, words."""
    rows = []
    for name, label in LABELS.items():
        cells = [percent_with_interval(_interval(study.samples(name, m))) for m in MEASURES]
        seeds = study.samples(name)
        lead = study.lead(name) if name != "joint" else None
        behind = points_with_interval(lead.interval) if lead else ""
        rows.append((label, *cells, behind, _seeds(seeds), _PAPER.get(name, "")))
    notes = (
        "The same weights throughout, trained with modality_max on modalities encoded together; "
        "how much better fusions are of weights that were trained to be encoded apart is in the "
        "table of training, where such weights were measured.",
        "The last column is nDCG@10 of the paper's nearest row on MultiVENT 2.0++ (other models, "
        "other videos: only the order can be compared): CLaMR, CLaMR trained and searched with one "
        "modality, and the mean and the router of mCLIP.",
        "A router's queries about two modalities: it searches one of them. The one that is told "
        "the modality finds nothing for them.",
    )
    heads = ("searched", *MEASURES, "joint leads by (nDCG@10)", "nDCG@10 by seed", "paper")
    return Table("retrievers", "Joint encoding against the rest", heads, tuple(rows), notes)


def training_scorers(study: Study) -> Table:
    """What the weights were trained with, and how they are searched."""
    searched: Sequence[tuple[Role, str, str]] = (
        ("modality_max", "joint", "modality_max"),
        ("modality_max", "joint-token-max", "token_max"),
        ("token_max", "joint", "modality_max"),
        ("token_max", "joint-token-max", "token_max"),
        ("separate", "max", "modality_max"),
    )
    rows = []
    for role, row, scorer in searched:
        found = study.samples(row, role=role)
        if found is None:
            continue
        first = study.samples(row, "R@1", role=role)
        rivals = study.samples(row, "R@1", role=role, queries=study.of_kind("rival"))
        named = study.named_rightly(row, role=role)
        cells = (percent_with_interval(_interval(each)) for each in (found, first, rivals, named))
        rows.append((_TRAINED[role], scorer, *cells, _seeds(found)))
    notes = (
        "The paper: 58.5 for modality_max, 56.3 for token_max in training, 44.5 for modalities "
        "encoded apart in training and search (nDCG@10, MultiVENT 2.0++).",
    )
    heads = (
        "trained with", "searched by", "nDCG@10", "R@1", "R@1 of rivals",
        "gold modality named", "nDCG@10 by seed",
    )  # fmt: skip
    return Table("training", "The scorer in training", heads, tuple(rows), notes, 2)


def kinds_of_queries(study: Study) -> Table:
    """Which queries are found."""
    rows = []
    for kind in KINDS:
        asked = study.of_kind(kind)
        if not asked.any():
            continue
        joint = [study.samples("joint", measure, queries=asked) for measure in MEASURES]
        names = ("joint-token-max", study.best_of(SINGLES), "max", "mean", "router", "bm25")
        others = [study.samples(name, queries=asked) if name else None for name in names]
        cells = [percent_with_interval(_interval(each)) for each in joint]
        rows.append((kind, f"{asked.sum():,}", *cells, *(_percent(each) for each in others)))
    single = study.best_of(SINGLES)
    heads = (
        "queries", "number", *(f"joint {measure}" for measure in MEASURES),
        "token_max", f"{single} alone", "max", "mean", "router", "BM25",
    )  # fmt: skip
    notes = ("The columns from token_max on are nDCG@10.",)
    return Table("kinds", "By kind of query", heads, tuple(rows), notes)


def named_modalities(study: Study) -> Table:
    """Whether the first clip was found by the modality that the query is about."""
    ways: Sequence[tuple[str, Role, str]] = (
        ("joint", MAIN, "joint encoding"),
        ("joint", "token_max", "joint encoding, trained with token_max"),
        ("max", MAIN, "encoded apart, max"),
        ("joint-with-lies", MAIN, "joint encoding, false lines planted"),
        ("router", MAIN, "router"),
    )
    rows = []
    for name, role, label in ways:
        overall = study.named_rightly(name, role=role)
        if overall is None:
            continue
        by_gold = [
            study.named_rightly(name, role=role, queries=~study.not_about(modality[0]))
            for modality in SINGLES
        ]
        cells = (percent_with_interval(_interval(found)) for found in (overall, *by_gold))
        rows.append((label, *cells))
    heads = ("first clip found by", "all", *(f"about {modality}" for modality in SINGLES))
    notes = (
        "Queries about one modality; whether the first clip is the right one does not count. The "
        "paper, on a set of its own: CLaMR 76.4, mCLIP's max 39.5, router 30.9 (macro).",
    )
    return Table("named", "Modality accuracy", heads, tuple(rows), notes)


def confusion(study: Study) -> Table:
    """Which modality was named instead, by joint encoding."""
    rows = []
    for modality in SINGLES:
        asked = study.about_one & ~study.not_about(modality[0])
        told = [np.array(list(row.named))[asked] for row in study.rows("joint") if row.named]
        if not told or not asked.any():
            continue
        shares = (percent(float(np.mean(np.stack(told) == other[0]))) for other in SINGLES)
        rows.append((f"about {modality}", f"{asked.sum():,}", *shares))
    heads = ("queries", "number", *(f"named {modality}" for modality in SINGLES))
    return Table("confusion", "Modality named by joint encoding", heads, tuple(rows))


def missing(study: Study) -> Table:
    """What the loss of modalities costs those that it does not concern."""
    rows = []
    for name in NAMED:
        others = study.not_about(name[0])
        cells = [_change(study, way, f"{way}-without-{name}", others) for way in ("joint", "max")]
        rows.append((f"{name} of all clips", f"{others.sum():,}", *cells[0], *cells[1]))
    for gaps in study.rows("joint-with-gaps")[:1]:
        cells = [_change(study, way, f"{way}-with-gaps", gaps.asked) for way in ("joint", "max")]
        label = "each modality of each clip with a chance of 30 %"
        rows.append((label, f"{gaps.asked.sum():,}", *cells[0], *cells[1]))
    heads = (
        "taken away", "queries", "joint before", "joint after", "joint loses",
        "max before", "max after", "max loses",
    )  # fmt: skip
    notes = (
        "nDCG@10 of queries that are about other modalities; in the last row, of those whose clip "
        "has kept all that they are about. No clip loses its last modality.",
    )
    return Table("missing", "Missing modalities", heads, tuple(rows), notes)


def contradicted(study: Study) -> Table:
    """What false lines do."""
    pictures = study.about_pictures
    rows = []
    for way, label in (("joint", "joint encoding"), ("max", "encoded apart, max")):
        seen = _change(study, way, f"{way}-with-lies", pictures)
        told = _change(study, way, f"{way}-with-lies", ~pictures)
        liar = study.samples(f"{way}-liar", "R@1")
        rivals = study.samples(way, "R@1", queries=study.of_kind("rival"))
        last = (percent_with_interval(_interval(found)) for found in (liar, rivals))
        rows.append((label, *seen, *told[1:], *last))
    heads = (
        "searched", "pictures before", "after", "lose", "other queries after", "they lose",
        "liar first", "rivals R@1",
    )  # fmt: skip
    notes = (
        "In every clip a line that describes the picture of another one, in the words of its "
        "query, is spoken (even clips) or written (odd ones). nDCG@10; liar first: share of "
        "queries about a picture whose first clip is the one that only speaks of it.",
        "Rivals need no planting: the same subject is told otherwise in another modality of "
        "another clip, and the query says which modality it means.",
    )
    return Table("contradicted", "Contradicting modalities", heads, tuple(rows), notes)


def controls(study: Study) -> Table:
    """Queries about pictures, with and without pictures that tell."""
    pictures = study.about_pictures
    ways = (
        ("video", "frames alone"),
        ("joint", "frames with the texts beside them"),
        ("video-moved", f"frames alone, moved by {100 * MOVED:.1f} % of their width"),
        ("joint-without-video", "the texts without frames"),
        ("video-blank", "grey frames alone"),
        ("video-shuffled", "frames alone, those of another clip"),
    )
    rows = []
    for name, label in ways:
        found = [study.samples(name, measure, queries=pictures) for measure in MEASURES]
        rows.append((label, *(percent_with_interval(_interval(each)) for each in found)))
    chance = 100 / study.figures.num_clips
    notes = [f"{pictures.sum():,} queries about pictures; guessing finds {chance:.2f} % first."]
    runs = [run for run in study.figures.runs if run.role == MAIN]
    seeds = [str(run.seed) for run in runs if "video-moved" in run.rows]
    if 0 < len(seeds) < len(runs):
        notes.append(f"Moved frames: weights of seed {', '.join(seeds)} only.")
    return Table(
        "controls", "Pictures and controls", ("read", *MEASURES), tuple(rows), tuple(notes)
    )


def budgets(study: Study) -> Table:
    """Vectors that pooling leaves to a clip."""
    lengths = [run.vectors for run in study.figures.runs if run.role == MAIN and run.vectors]
    ways: tuple[tuple[str, Role, str], ...] = (
        ("joint", MAIN, ""), ("joint", MAIN, "-shared"), ("joint-token-max", MAIN, ""),
        ("max", MAIN, ""), ("max", MAIN, "-shared"), ("joint", "token_max", ""),
    )  # fmt: skip
    rows = []
    for budget in (*map(str, BUDGETS), "all"):
        found = [study.samples(at_budget(name, budget, way), role=role) for name, role, way in ways]
        cells = [percent_with_interval(_interval(each)) for each in found]
        length = f"{np.mean([own[budget] for own in lengths]):.1f}" if lengths else NONE
        rows.append((budget, length, *cells))
    heads = (
        "vectors at most", "on average", "joint", "joint, shared", "joint, token_max",
        "encoded apart, max", "encoded apart, max, shared", "joint, trained with token_max",
    )  # fmt: skip
    notes = (
        "nDCG@10; hierarchical pooling as the library stores it, float32. Clips encoded apart have "
        "as many vectors and are pooled to the same number. Shared: `--set index.pooling=shared`, "
        "where modalities whose vectors differ most keep most of them; else each keeps its share "
        "of the vectors.",
    )
    return Table("budgets", "Vectors per clip", heads, tuple(rows), notes)


def weights(study: Study) -> Table:
    """How the weights were made."""
    rows = tuple(
        (
            _TRAINED[run.role],
            str(run.seed),
            run.sha256[:12],
            stages_from(run.told) or "itself",
            run.told.get("command", ""),
            run.told.get("minutes", NONE),
            f"{run.seconds:.0f}",
            run.commit,
        )
        for role in ROLES
        for run in study.figures.runs
        if run.role == role
    )
    heads = (
        "trained with", "seed", "SHA-256", "starts from", "command", "minutes",
        "measured in s", "by commit",
    )  # fmt: skip
    return Table("weights", "Weights", heads, rows, (), 5)


def stages_from(told: dict[str, str]) -> str | None:
    """Where the training's earlier stages came from, if others could have them from there, too."""
    words = told.get("command", "").split()
    # --settled is what earlier versions wrote the state after those stages by.
    for option in ("--start", "--folder", "--settled"):
        if option in words[:-1]:
            return words[words.index(option) + 1].strip("(),;")
    return None


def _aim(
    label: str, found: Samples | None, aim: float, kind: _AimKind = "at least"
) -> tuple[str, str, str, str]:
    wanted = f"{kind} {100 * aim:.2g}"
    if found is None:
        return label, wanted, NONE, NONE
    got = found.interval
    if kind == "at least":
        mean_does, all_does = got.mean >= aim, got.low >= aim
    elif kind == "at most":
        mean_does, all_does = got.mean <= aim, got.high <= aim
    else:
        # Chance is what cannot be told from it.
        mean_does = all_does = got.low <= aim
    verdict = "yes" if all_does else "the mean" if mean_does else "no"
    return label, wanted, percent_with_interval(got), verdict


def _lead(study: Study, name: str | None) -> Samples | None:
    return study.lead(name) if name else None


def _lost(study: Study, before: str, after: str, queries: Queries) -> Samples | None:
    first, second = (study.samples(name, queries=queries) for name in (before, after))
    return first.minus(second) if first and second else None


def _change(study: Study, before: str, after: str, queries: Queries) -> tuple[str, str, str]:
    first, second = (study.samples(name, queries=queries) for name in (before, after))
    lost = _lost(study, before, after, queries)
    loss = points_with_interval(lost.interval) if lost else NONE
    return _percent(first), _percent(second), loss


def _interval(samples: Samples | None) -> Interval | None:
    return samples.interval if samples else None


def _percent(samples: Samples | None) -> str:
    return percent(samples.mean if samples else None)


def _seeds(samples: Samples | None) -> str:
    return ", ".join(percent(mean) for mean in samples.by_seed) if samples else NONE
