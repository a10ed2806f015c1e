"""Figures, tables, rows and whole reports of runs, from records written by the real classes."""

from __future__ import annotations

import hashlib
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from report_runs import (
    COMMIT,
    Page,
    found,
    gold,
    header,
    interval,
    question,
    ranking,
    video,
    write_retrieval_run,
    write_run,
)

from clamr_rag.errors import UsageError
from eval import run_qa
from eval.report.__main__ import main
from eval.report.commands import qa_command
from eval.report.numbers import (
    clock,
    p_value,
    percent_with_interval,
    points_with_interval,
    quantity,
)
from eval.report.qa_figures import (
    OPEN,
    cluster,
    compare,
    compare_evidence,
    cost,
    declined,
    evidence_score,
    guessing,
    percentile,
    score,
    score_by,
)
from eval.report.qa_tables import qa_tables
from eval.report.retrieval_figures import (
    compare_retrievals,
    is_hit,
    named_retrievals,
    relevant_ranks,
    retrieval_cost,
)
from eval.report.retrieval_pages import missed_queries, retrieval_page
from eval.report.retrieval_tables import retrieval_tables
from eval.report.rows import readme_rows
from eval.report.runs import by_benchmark, load_runs, named_runs
from eval.report.tables import (
    Table,
    html_table,
    html_text,
    latex_table,
    latex_text,
    markdown_rows,
    markdown_text,
)
from eval.run_records import QuestionTiming, VideoTiming

HOSTILE = "</style><script>alert(1)</script> & \"quotes\" 'n' `ticks` | pipe $x$ \u202e"


def all_bytes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (0.0, "0"), (0.0123, "0.0123"), (1.5, "1.50"), (42.0, "42.0"),
        (1234.5, "1,234"), (-2.25, "-2.25"), (0.00012345, "0.000123"),
    ],
)  # fmt: skip
def test_quantities_have_three_digits_that_count(value: float | None, shown: str) -> None:
    assert quantity(value) == shown


def test_times_are_carried_over() -> None:
    assert [clock(s) for s in (0, 59.96, 3599.99, 3600.25)] == [
        "0:00:00.0", "0:01:00.0", "1:00:00.0", "1:00:00.2",
    ]  # fmt: skip


def test_shares_bring_their_intervals_unless_there_is_one_video() -> None:
    assert percent_with_interval(interval(0.613, 0.521, 0.7)) == "61.3 [52.1, 70.0]"
    assert percent_with_interval(interval(0.613, 0.613, 0.613, clusters=1)) == "61.3"
    assert percent_with_interval(None) == "–"
    assert points_with_interval(interval(-0.05, -0.1, 0.0001)) == "−5.0 [−10.0, 0.0]"
    assert points_with_interval(interval(0.125, clusters=1)) == "+12.5"
    assert (p_value(0.0004), p_value(0.25)) == ("< 0.001", "0.250")


# --- tables


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("eval.run_qa", "eval.run_qa"),
        ("_all_ *of* `it`", r"\_all\_ \*of\* \`it\`"),
        ("61.3 [52.1, 70.0]", "61.3 [52.1, 70.0]"),
        ("[here](http://x)", r"[here\](http://x)"),
        ("<b> ~~no~~ $x$ &amp;", r"\<b> \~\~no\~\~ \$x\$ \&amp;"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50 % & more", r"50 \% \& more"),
        ("a_b#c{d}", r"a\_b\#c\{d\}"),
        ("$x^2$", r"\$x\textasciicircum{}2\$"),
        ("C:\\dir~1", r"C:\textbackslash{}dir\textasciitilde{}1"),
        ("1--2", "1{-}{-}2"),
        ("−3 ≥ –", r"$-$3 $\geq$ \textendash{}"),
        ('"q" <a>', r"\textquotedbl{}q\textquotedbl{} \textless{}a\textgreater{}"),
    ],
)
def test_latex_shows_text_as_it_is(text: str, shown: str) -> None:
    assert latex_text(text) == shown


def test_signs_that_hide_or_turn_text_are_shown_as_such() -> None:
    assert html_text("a\u202eb\x00\ud800 c") == "a\ufffdb\ufffd\ufffd c"
    assert html_text("👩\u200d👧") == "👩\u200d👧"


def test_a_table_in_all_three_languages() -> None:
    table = Table("t", "Both & all", ("run", "%"), (("a_b", "1"), ("c|d", "2")), ("A note.",))
    assert markdown_rows(table) == "| run | % |\n| --- | ---: |\n| a_b | 1 |\n| c\\|d | 2 |\n"
    tex = latex_table(table, prefix="made")
    assert "\\caption{Both \\& all. A note.}" in tex
    assert "\\label{tab:made-t}" in tex
    assert "    a\\_b & 1 \\\\\n    c\\textbar{}d & 2 \\\\\n" in tex
    assert tex.count("\\begin") == tex.count("\\end") == 2
    section = ET.fromstring(html_table(table))
    assert [cell.text for cell in section.iter("td")] == ["1", "2"]
    assert [cell.text for cell in section.iter("th")] == ["run", "%", "a_b", "c|d"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cells for 2"):
        Table("t", "T", ("a", "b"), (("1", "2", "3"),))


# --- figures


def test_accuracy_has_both_denominators_and_leaves_out_what_was_never_put() -> None:
    records = [
        question("q1", "A"),
        question("q2", "D", video_id="v2"),
        question("q3", "nothing here"),
        question("q4", None),
        question("q5", "A", gold=None, is_right=None),
    ]
    strict, official = (score(records, rule) for rule in ("strict", "videomme-official"))
    assert strict is not None
    assert official is not None
    assert (strict.full.mean, strict.official.mean) == pytest.approx((1 / 3, 1 / 3))
    assert (official.full.mean, official.official.mean) == pytest.approx((1 / 3, 1 / 2))
    assert (official.counts.num_questions, official.counts.num_unparsed) == (3, 1)
    assert official.counts.num_dropped == 1
    assert (strict.full.num_clusters, strict.full.low) == (2, 0.0)


def test_letters_that_a_scorer_draws_count_with_their_chance() -> None:
    records = [question("q1", "A"), question("q2", "nothing here")]
    found_score = score(records, "longvideobench-lmms-eval@75571cf")
    assert found_score is not None
    assert found_score.official is not None
    assert found_score.official.mean == pytest.approx((1 + 0.25) / 2)
    assert found_score.full.mean == 0.5
    assert guessing(records) == 0.25


def test_open_answers_have_a_score_of_their_own() -> None:
    records = [
        question("q1", "a red boat", form="open", gold="red boat", is_right=True),
        question("q2", "no idea", form="open", gold="red boat", is_right=False, status="declined"),
        question("q1", "A"),
    ]
    opened, chosen = score(records, OPEN), score(records, "strict")
    assert opened is not None
    assert chosen is not None
    assert (opened.full.mean, opened.counts.num_unparsed) == (0.5, 1)
    assert chosen.counts.num_questions == 1
    assert score(records[:2], "strict") is None


def test_a_question_counts_in_each_of_its_labels() -> None:
    records = [
        question("q1", "A", groups={"task": ("count", "order")}),
        question("q2", "B", groups={"task": ("count",)}),
        question("q3", "A", groups={}),
    ]
    by_task = score_by(records, "strict", "task")
    shares = {label: each.full.mean for label, each in by_task.items()}
    assert shares == {"count": 0.5, "order": 1.0}


def test_evidence_is_scored_once_per_question_and_never_beyond_what_was_asked() -> None:
    records = [
        question("q1", found=(found(10), found(30))),
        question("q1", form="open", gold="x", found=(found(10), found(30))),
        question("q2", video_id="v2", evidence=(gold(30, 50),), found=(found(10), found(40))),
        question("q3", evidence=(gold(5, 5),)),
        question("q4", None),
        question("q5", evidence=()),
    ]
    scored = evidence_score(records, top_k=3)
    assert scored is not None
    assert {rank: each.mean for rank, each in scored.hits.items()} == {1: 0.5, 3: 1.0}
    assert scored.reciprocal_rank.mean == pytest.approx((1 + 1 / 2) / 2)
    assert scored.coverage.mean == pytest.approx((1 + 0.5) / 2)
    assert scored.hits[1].num_values == 2
    assert evidence_score(records[3:], top_k=3) is None


def test_declining_is_counted_apart_for_what_nothing_answers() -> None:
    absent = {"form": "open", "gold": None, "is_absent": True, "evidence": ()}
    records = [
        question("a1", "I cannot tell", status="declined", is_right=True, **absent),
        question("a2", "Five", is_right=False, **absent),
        question("q1", "no", form="open", gold="x", status="declined", is_right=False),
        question("q2", "x", form="open", gold="x", is_right=True),
    ]
    counted = declined(records)
    assert (counted.absent, counted.num_absent) == (1, 2)
    assert (counted.answerable, counted.num_answerable) == (1, 2)
    opened = score(records, OPEN)
    assert opened is not None
    assert opened.counts.num_questions == 2


def test_runs_are_compared_over_the_questions_they_share() -> None:
    first = [question(f"q{n}", "A" if n < 6 else "B") for n in range(8)]
    second = [question(f"q{n}", "A" if n == 7 else "B") for n in range(1, 9)]
    found_difference = compare(first, second, "strict")
    assert found_difference is not None
    # Shared are q1 to q7: five right in the first alone, q7 in the second alone.
    assert found_difference.difference.mean == pytest.approx((5 - 1) / 7)
    assert (found_difference.test.only_first, found_difference.test.only_second) == (5, 1)
    assert found_difference.test.p_value == pytest.approx(2 * (1 + 6) / 2**6)
    assert (found_difference.num_shared, found_difference.num_alone) == (7, 2)
    assert compare(first[:1], second, "strict") is None


def test_evidence_of_runs_is_compared_by_the_first_clip() -> None:
    first = [question("q1", found=(found(10),)), question("q2", found=(found(10),))]
    second = [question("q1", found=(found(50), found(10))), question("q2", found=(found(10),))]
    found_difference = compare_evidence(first, second)
    assert found_difference is not None
    assert found_difference.difference.mean == 0.5
    assert (found_difference.test.only_first, found_difference.test.only_second) == (1, 0)


def test_costs_are_per_hour_of_what_was_timed(tmp_path: Path) -> None:
    times = [QuestionTiming(search_seconds=1.0, answer_seconds=s) for s in (1.0, 2.0, 9.0)]
    tokens = QuestionTiming(search_seconds=1.0, prompt_tokens=70, reply_tokens=4)
    records = [question(f"q{n}", timing=timing) for n, timing in enumerate((*times, tokens))]
    videos = [video("v1"), video("v2", 1, timing=VideoTiming(index_bytes=9))]
    measured = cost(write_run(tmp_path, records, videos=videos))
    assert (measured.video_hours, measured.index_seconds_per_hour) == (0.5, 180.0)
    assert measured.index_bytes_per_hour == 3_000_000
    assert (measured.search_seconds, measured.answer_seconds, measured.seconds) == (1.0, 2.0, 2.5)
    assert measured.slow_seconds == 10.0
    # The tokens of three replies are not known: a mean over one would not be the run's.
    assert (measured.mean_prompt_tokens, measured.mean_reply_tokens) == (None, None)
    only = cost(write_run(tmp_path / "only", [question("q1", timing=tokens)]))
    assert (only.mean_prompt_tokens, only.mean_reply_tokens) == (70, 4)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.01, 0.5, 0.95, 1)] == [1, 50, 95, 100]
    assert percentile([7.0], 0.95) == 7.0


def test_questions_about_all_videos_stand_and_fall_with_the_video_of_their_answer() -> None:
    assert cluster(question("q1", video_id="", evidence=(gold(1, 2, video="v7"),))) == "v7"
    assert cluster(question("q1", video_id="v2", evidence=(gold(1, 2, video="v7"),))) == "v2"


# --- names


def test_runs_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "1", [question("q1")], frames=16),
        write_run(tmp_path / "2", [question("q1")], frames=32),
        write_run(tmp_path / "3", [question("q1")], retriever="uniform", subtitles="full"),
        write_run(tmp_path / "4", [question("q1")], retriever="bm25"),
        write_run(tmp_path / "5", [question("q1")], retriever="bm25"),
    ]
    named = named_runs(runs)
    assert [run.name for run in named] == [
        "mini + extractive, 16 frames",
        "mini + extractive, 32 frames",
        "uniform + extractive, full subtitles",
        f"bm25 + extractive, {tmp_path / '4'}",
        f"bm25 + extractive, {tmp_path / '5'}",
    ]
    assert named[0].series == named[1].series == "mini + extractive"


def test_figures_of_different_files_stand_in_different_sections(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "1", [question("q1")]),
        write_run(tmp_path / "2", [question("q1")], revision="beef"),
        write_run(tmp_path / "3", [question("q1")], benchmark="other"),
    ]
    assert list(by_benchmark(runs)) == ["made test cafe012", "made test beef", "other test"]


def test_a_folder_of_runs_stands_for_all_of_them(tmp_path: Path) -> None:
    write_run(tmp_path / "b", [question("q1")])
    write_retrieval_run(tmp_path / "a", [ranking("q1", ("right", 1.0))])
    assert [run.folder.name for run in load_runs([tmp_path])] == ["a", "b"]
    with pytest.raises(UsageError, match="2 times"):
        load_runs([tmp_path, tmp_path / "a"])
    with pytest.raises(UsageError, match="no run in"):
        load_runs([tmp_path / "nowhere"])


def test_a_run_without_records_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, [])
    with pytest.raises(UsageError, match="no records yet"):
        load_runs([tmp_path])


# --- the whole report


def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    """All right and found, against one in two; a budget of 16 and 64 frames; two videos."""
    for name, right, frames in (("good", 4, 64), ("poor", 2, 16)):
        records = [
            question(
                f"q{n}",
                "A" if n < right else "B",
                video_id=f"v{n % 2 + 1}",
                groups={"kind": ("fact" if n < 2 else "two",)},
                found=(found(10) if n < right else found(90),),
                frame_seconds=tuple(float(second) for second in range(frames)),
            )
            for n in range(4)
        ]
        write_run(tmp_path / name, records, retriever=name, frames=frames)
    return tmp_path / "good", tmp_path / "poor"


def test_a_report_holds_every_table_and_plot(tmp_path: Path) -> None:
    good, poor = two_runs(tmp_path)
    assert main([str(poor), str(good), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["good + extractive", "strict", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]",
            "4", "4", "0", "0"] in rows  # fmt: skip
    assert ["poor + extractive", "strict", "50.0 [50.0, 50.0]", "50.0 [50.0, 50.0]",
            "2", "4", "0", "0"] in rows  # fmt: skip
    assert ["two", "poor + extractive", "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]",
            "0", "2", "0", "0"] in rows  # fmt: skip
    assert ["mean of groups", "poor + extractive", "50.0", "50.0", *["–"] * 4] in rows
    assert ["good + extractive", "poor + extractive", "accuracy, strict", "+50.0 [+50.0, +50.0]",
            "2", "0", "0.500", "4", "0"] in rows  # fmt: skip
    assert ["good + extractive", "poor + extractive", "evidence hit@1", "+50.0 [+50.0, +50.0]",
            "2", "0", "0.500", "4", "0"] in rows  # fmt: skip
    assert "Over 2 videos only they are too narrow to be believed." in text
    plots = {path.stem for path in (tmp_path / "out/plots").glob("*.png")}
    assert plots == {
        "made-test-accuracy-vs-frames",
        "made-test-accuracy-vs-seconds",
        "made-test-accuracy-vs-hit-at-1",
        "made-test-accuracy-by-kind",
    }
    assert plots == {path.stem for path in (tmp_path / "out/plots").glob("*.svg")}
    for name in re.findall(r"\]\((plots/[^)]*)\)", text):
        assert (tmp_path / "out" / name).is_file()
    page = Page((tmp_path / "out/index.html").read_text(encoding="utf-8"))
    assert len([src for src in page.values("src") if src.startswith("data:image/svg")]) == 4
    assert len(page.values("id")) == len(set(page.values("id")))


def test_the_same_records_are_the_same_bytes(tmp_path: Path) -> None:
    good, poor = two_runs(tmp_path)
    write_retrieval_run(tmp_path / "retrieval", [ranking("q1", ("right", 1.0), ("no", 1.0))])
    folders = [str(good), str(poor), str(tmp_path / "retrieval")]
    for out in ("one", "other"):
        assert main([*folders, "--out", str(tmp_path / out)]) == 0
    assert all_bytes(tmp_path / "one") == all_bytes(tmp_path / "other")
    assert len(all_bytes(tmp_path / "one")) > 15


def test_latex_instead_of_markdown(tmp_path: Path) -> None:
    good, _ = two_runs(tmp_path)
    assert main([str(good), "--out", str(tmp_path / "out"), "--format", "latex"]) == 0
    text = (tmp_path / "out/report.tex").read_text(encoding="utf-8")
    assert not (tmp_path / "out/report.md").exists()
    assert "good + extractive & strict & 100.0 [100.0, 100.0]" in text
    assert "100.0\\%" not in text
    assert len(re.findall(r"\\begin\{tabular\}", text)) == len(re.findall(r"\\bottomrule", text))


def test_what_nothing_answers_is_no_video_of_its_own(tmp_path: Path) -> None:
    absent = question(
        "a1", "no", form="open", gold=None, is_absent=True, evidence=(), video_id="",
        status="declined", is_right=True,
    )  # fmt: skip
    run = write_run(tmp_path, [question("q1"), absent], forms=("choices", "open"))
    tables = {table.name: table for table in qa_tables(named_runs([run]), "strict")}
    assert tables["accuracy"].notes[0].startswith("No intervals: questions about one video")
    assert tables["declined"].rows == (
        ("mini + extractive", "open", "1 of 1", "100.0", "0 of 0", "–"),
    )


def test_tables_by_a_published_rule(tmp_path: Path) -> None:
    # "Answer: B" reads as A by the official rule: its A is the first capital.
    run = write_run(tmp_path, [question("q1", "Answer: B")])
    titles = {table.title: table for table in qa_tables(named_runs([run]), "videomme-official")}
    assert titles["Accuracy by kind, videomme-official"].rows[0][2] == "100.0"
    assert titles["Accuracy"].rows[0][2:4] == ("0.0", "0.0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--out", "x"], "no run in 'nowhere'"),
        (["rows", "nowhere"], "no run in 'nowhere'"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["a"], ["a", "--out", "b", "--failures", "-1"], ["a", "--out", "b", "--rule", "E9"]]
)
def test_options_that_are_none_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


# --- rows of the README


def test_a_row_has_figures_commit_machine_and_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, [question("q1"), question("q2", "B", video_id="v2"), question("q3", None)])
    assert main(["rows", str(tmp_path)]) == 0
    head, rule, row = capsys.readouterr().out.splitlines()
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert rule.count("---") == len(cells)
    assert cells["strict (%)"] == "50.0 [0.0, 100.0]"
    assert cells["questions"] == "2 of 3"
    assert cells["commit"] == COMMIT[:12]
    assert cells["machine"] == "2 cores, 23 GB"
    assert cells["command |"].startswith("python -m eval.run_qa --benchmark made --root DIR")
    assert cells["s per question"] == "2.00"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"commit": f"{COMMIT[:12]}+changes"}, "nobody can check out"),
        ({"commit": "unknown"}, "nobody can check out"),
        ({"num_questions": 2}, "1 of 2 questions"),
        ({"shard": (1, 4)}, "shard 1 of 4"),
    ],
)
def test_only_finished_runs_of_a_commit_get_a_row(
    values: dict[str, object], message: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path, [question("q1")], **values)
    with pytest.raises(UsageError, match=message):
        readme_rows([run])


def test_the_command_of_a_row_is_one_that_the_runner_takes() -> None:
    options = header().options
    changed = options.model_copy(
        update={"index": options.index.model_copy(update={"vectors_per_clip": 32})}
    )
    of_a_world = header(
        benchmark="synthetic",
        source="eval.synthetic synthetic-1, seed 7, 0.5 hours, rendered",
        retriever="joint",
        retriever_details="clamr 00ff",
        forms=("choices", "open"),
        limit=40,
        options=changed,
    )
    words = shlex.split(qa_command(of_a_world))
    assert words[:3] == ["python", "-m", "eval.run_qa"]
    read = run_qa._parser().parse_args(words[3:])
    assert (read.benchmark, read.hours, read.seed, read.split) == ("synthetic", 0.5, 7, "test")
    assert (read.retriever, read.encoder, read.answerer) == ("joint", "clamr", "extractive")
    assert (read.forms, read.limit, read.frames, read.top_k) == ("choices,open", 40, 16, 5)
    assert read.set == ["index.vectors_per_clip=32"]
    assert read.root is None


# --- retrieval


def test_a_tie_with_what_is_wrong_is_no_hit() -> None:
    assert is_hit(ranking("q", ("right", 1.0), ("no", 0.9)))
    assert not is_hit(ranking("q", ("right", 1.0), ("no", 1.0)))
    assert not is_hit(ranking("q"))
    both = {"right": 1, "no": 1}
    assert is_hit(ranking("q", ("right", 1.0), ("no", 1.0), relevant=both))


def test_ranks_of_what_is_relevant_best_grade_first() -> None:
    record = ranking("q", ("x", 3), ("a", 2), relevant={"a": 1, "b": 2, "c": 0})
    assert list(relevant_ranks(record).items()) == [("b", None), ("a", 2)]


def test_retrieval_runs_in_figures(tmp_path: Path) -> None:
    good = write_retrieval_run(
        tmp_path / "good",
        [ranking("q1", ("right", 1.0)), ranking("q2", ("right", 1.0), cluster="v2")],
    )
    poor = write_retrieval_run(
        tmp_path / "poor",
        [ranking("q1", ("right", 1.0)), ranking("q2", ("no", 1.0), ("right", 0.5), cluster="v2")],
        arm="bm25",
    )
    tables = {table.name: table for table in retrieval_tables(named_retrievals([poor, good]))}
    assert [row[0] for row in tables["rankings"].rows] == ["bm25", "mini"]
    # nDCG of a relevant candidate at rank 2 is 1 / log2(3) = 0.631; with a right one 0.815.
    assert tables["rankings"].rows[0][1] == "81.5 [63.1, 100.0]"
    assert tables["rankings"].rows[0][2] == "50.0 [0.0, 100.0]"
    assert tables["by-kind"].rows[0][:2] == ("fact", "bm25")
    assert tables["cost"].rows[0] == ("bm25", "10.0", "–", "1.50", "2.00", "2.00")
    compared = compare_retrievals(good, poor, "nDCG@10")
    assert compared is not None
    assert compared.difference.mean == pytest.approx((1 - 0.6309) / 2, abs=1e-4)
    assert (compared.test.only_first, compared.test.only_second) == (1, 0)
    assert retrieval_cost(good).encode_seconds_per_hour == 10


def test_retrieval_runs_are_named_by_the_options_that_differ(tmp_path: Path) -> None:
    records = [ranking("q1", ("right", 1.0))]
    runs = [
        write_retrieval_run(tmp_path / name, records, options=options)
        for name, options in (("1", {"seed": "0"}), ("2", {"seed": "0", "remove": "video"}))
    ]
    assert [run.name for run in named_retrievals(runs)] == ["mini", "mini, remove video"]


def test_missed_queries_have_a_page(tmp_path: Path) -> None:
    records = [
        ranking("q1", ("right", 1.0)),
        ranking("q2", ("no", 1.0), ("right", 0.5), text="<b>where</b>"),
        ranking("q3", ("no", 1.0)),
        ranking("q4", ("right", 1.0), ("no", 1.0)),
    ]
    run = named_retrievals([write_retrieval_run(tmp_path / "run", records)])[0]
    missed = missed_queries(run.run.records)
    assert [record.query_id for record in missed] == ["q2", "q3", "q4"]
    text = Page(retrieval_page(missed[0], run)).text
    assert "<b>where</b>" in text
    assert "found at rank 2 to 10" in text
    assert "right 1 2" in text
    assert "not in the first 100" in Page(retrieval_page(missed[1], run)).text
    assert "tied for rank 1" in Page(retrieval_page(missed[2], run)).text
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out/failures").rglob("*.html"))) == 4
    assert "nDCG@10" in (tmp_path / "out/report.md").read_text(encoding="utf-8")


def test_a_row_of_a_retrieval_run(tmp_path: Path) -> None:
    run = write_retrieval_run(tmp_path, [ranking("q1", ("right", 1.0))], options={"hours": "1"})
    head, _, row = readme_rows([run]).splitlines()
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert (cells["options"], cells["nDCG@10 (%)"]) == ("hours 1", "100.0")
    assert cells["command |"].startswith("python -m eval.run_retrieval --benchmark made")
