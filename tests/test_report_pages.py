"""Pages and plots of a report: what they say, and that nothing gets out of its place."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import pytest
from media_files import Plan, make_video
from PIL import Image
from report_runs import (
    Page,
    found,
    gold,
    interval,
    question,
    video,
    write_run,
)

from clamr_rag.index.store import Store
from clamr_rag.media import content_key
from clamr_rag.types import Clip, Cue, MetadataLine, Modality, OcrLine, TimeSpan, Video
from eval.report.__main__ import main
from eval.report.failure_index import Entry, failure_index
from eval.report.failure_pages import failure_page, file_name, page_name
from eval.report.failures import Cause, cause_of, find_failures
from eval.report.footage import RunFootage, find_libraries
from eval.report.plots import Bar, Point, bar_plot, point_plot, write_plot
from eval.report.timeline import timeline
from eval.run_records import QuestionRecord

HOSTILE = "</style><script>alert(1)</script> & \"quotes\" 'n' `ticks` | pipe $x$ \u202e"


# --- failures

ABSENT = {"form": "open", "gold": None, "is_absent": True, "evidence": ()}


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (question("q", "A"), None),
        (question("q", "B", gold=None, is_right=None), None),
        (question("q", None), Cause.SKIPPED),
        (question("q", None, status="failed", is_right=False), Cause.FAILED),
        (question("q", "Five", is_right=False, **ABSENT), Cause.ANSWERED_ABSENT),
        (question("q", "no", is_right=True, status="declined", **ABSENT), None),
        (question("q", "who knows"), Cause.UNPARSED),
        (question("q", "B"), Cause.WRONG),
        (question("q", "B", found=(found(30),)), Cause.MISSED),
        (question("q", "B", found=()), Cause.MISSED),
        (question("q", "B", found=(found(10, video="v2"),)), Cause.MISSED),
        (question("q", "B", evidence=()), Cause.WRONG_UNKNOWN),
        (question("q", "no", status="declined"), Cause.DECLINED),
        (question("q", "no", status="declined", found=()), Cause.MISSED),
        (question("q", "no", status="declined", evidence=()), Cause.DECLINED_UNKNOWN),
        (question("q", "x", form="open", gold="y", is_right=False), Cause.WRONG),
    ],
)
def test_each_failure_has_one_cause(record: QuestionRecord, cause: Cause | None) -> None:
    assert cause_of(record) is cause


def test_failures_tell_the_rank_of_every_span_of_evidence() -> None:
    spans = (gold(12, 16), gold(33, 36), gold(90, 95))
    failures = find_failures([question("q1"), question("q2", "B", evidence=spans)])
    assert [failure.record.question_id for failure in failures] == ["q2"]
    assert failures[0].evidence_ranks == (1, 2, None)


# --- pages


def failure_of(tmp_path: Path, record: QuestionRecord, libraries: Iterable[Path] = ()) -> str:
    run = write_run(tmp_path / "run", [record])
    with RunFootage(libraries) as footage:
        failure = find_failures(run.records)[0]
        pictures = footage.pictures(failure.record.found)
        return failure_page(failure, run, "mini + extractive", footage, pictures)


def test_a_failure_page_says_what_was_asked_read_and_found(tmp_path: Path) -> None:
    record = question("q7", "Best answer: not A or B, but C", found=(found(30),))
    text = Page(failure_of(tmp_path, record)).text
    assert "What is seen in q7?" in text
    assert "A. a red boat right" in text
    assert "C. a <b>house</b> & garden" in text
    assert "strict unread wrong videomme-official B wrong" in text
    assert "Best answer: not A or B, but C" in text
    assert "Evidence (speech)" in text
    assert "0:00:12.0–0:00:16.0 not among the 1 found" in text
    assert "1. 0:00:30.0–0:00:40.0" in text
    assert "v1 · score 0.9700 · best by speech" in text
    assert "Name the library" in text


def test_a_clip_that_holds_the_evidence_is_shown_whatever_its_rank(tmp_path: Path) -> None:
    clips = tuple(found(10.0 * number) for number in (*range(30, 50), 1))
    text = Page(failure_of(tmp_path, question("q1", "B", found=clips))).text
    assert "rank 21" in text
    assert "21. 0:00:10.0–0:00:20.0 holds the evidence" in text
    assert "11. " not in text
    assert "10 more were found." in text


def test_nothing_of_a_video_or_a_model_gets_out_of_its_place(tmp_path: Path) -> None:
    record = question(
        HOSTILE,
        HOSTILE,
        question=HOSTILE,
        options=(HOSTILE,) * 4,
        answer_text=HOSTILE + "!",
        video_id=HOSTILE,
        found=(found(10, video=HOSTILE, modality=HOSTILE),),
        evidence=(gold(12, 16, video=HOSTILE),),
        groups={HOSTILE: (HOSTILE,)},
        speech_source=HOSTILE,
        reason=HOSTILE,
    )
    write_run(tmp_path / "run", [record, question("q2")], videos=[video(HOSTILE)])
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    pages = sorted((tmp_path / "out").rglob("*.html"))
    assert len(pages) == 3
    for path in pages:
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        tags = {tag for tag, _ in page.tags}
        assert tags <= set(
            "html head meta title style body main nav a h1 h2 h3 p span ol ul li div table thead "
            "tbody tr th td pre blockquote figure figcaption img svg rect text br strong "
            "section".split()
        )
        assert "\u202e" not in text
        assert "default-src 'none'" in page.values("content")[0]
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
        for address in (*page.values("href"), *page.values("src")):
            assert re.match(r"#|data:image/|[\w./-]+\.html$", address), address
            if not address.startswith(("#", "data:")):
                assert (path.parent / address).is_file()


def test_pages_of_questions_never_share_a_file() -> None:
    names = {
        page_name(question(name, form=form, gold="A"))
        for name in ("a/b", "a-b", "a b", "../a-b", "ä", "", "x" * 300)
        for form in ("choices", "open")
    }
    assert len(names) == 14
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}\.html", name) for name in names)
    assert file_name("a", "b") != file_name("a-b")


def entry(question_id: str, cause: str, *labels: str) -> Entry:
    return Entry(f"Question {question_id}", cause, {"kind": labels}, (), f"{question_id}.html")


def test_filters_lead_to_those_questions_and_no_others() -> None:
    entries = [
        entry("q1", "missed", "fact"),
        entry("q2", "missed", "fact", "two"),
        entry("q3", "wrong", "fact"),
    ]
    text = failure_index(entries, "mini", ["skipped", "missed", "wrong"], num_questions=9)
    page = Page(text)
    counted = {}
    for tag, attrs in page.tags:
        if tag == "a" and (attrs.get("href") or "").startswith("#"):
            name = (attrs["href"] or "")[1:]
            assert name in page.values("id")
            rule = re.search(rf"#{name}:target ~ ol > li:not\((.*?)\)", text)
            classes = set(rule[1].strip(".").split(".")) if rule else set()
            items = [set((a.get("class") or "").split()) for t, a in page.tags if t == "li"]
            counted[name] = sum(classes <= own for own in items)
    assert counted == {
        "all": 3, "c1": 2, "c2": 1, "t0": 3, "t1": 1, "t0-c1": 2, "t0-c2": 1, "t1-c1": 1,
    }  # fmt: skip
    assert "3 of 9 questions, each with a page." in page.text
    assert re.search(r">2</a></td><td><a[^>]*>1</a></td><td>3</td>", text)


def test_failures_beyond_the_limit_are_listed_without_a_page(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [question(f"q{n}", "B") for n in range(3)])
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--failures", "1"]) == 0
    folder = next((tmp_path / "out" / "failures").iterdir())
    assert len(list(folder.iterdir())) == 2
    text = Page((folder / "index.html").read_text(encoding="utf-8")).text
    assert "3 of 3 questions, the first 1 with a page" in text
    assert "What is seen in q2?" in text


def test_the_timeline_is_to_scale() -> None:
    drawn = timeline(question("q1", found=(found(900), found(10, video="v2"))), {"v1": 1800.0})
    boxes = [
        (each.get("class"), float(each.get("x") or 0), float(each.get("width") or 0))
        for each in ET.fromstring(drawn).iter("rect")
    ]
    assert boxes[0][0] == "ground"
    # 4 s of half an hour are less than the narrowest box.
    assert boxes[1:] == [("gold", 6.7, 4.0), ("found", 500.0, 5.6)]
    assert timeline(question("q1"), {}) == ""


def indexed_library(folder: Path) -> tuple[Path, str]:
    """A library of one real video of four seconds with one clip; its folder and the clip's id."""
    made = make_video(folder / "v1.mp4", Plan())
    key = content_key(made.path)
    clip = Clip(
        f"{key}-00000",
        key,
        0,
        TimeSpan(0.0, 2.0),
        (Cue(0.1, 1.0, "said <i>aloud</i>"),),
        (OcrLine("shown large", 0.0, 1.0, (0.1, 0.1, 0.5, 0.5), 0.9),),
        (MetadataLine("Title: a test", "tags"),),
    )
    with Store.open(folder / "library") as store:
        store.begin_video(Video(key, str(made.path), "v1", 4.0, 1000), "options")
        store.plan_clips(key, [clip])
    return folder / "library", clip.clip_id


def test_clips_show_what_they_say_and_a_picture(tmp_path: Path) -> None:
    library, clip_id = indexed_library(tmp_path)
    clip = found(0).model_copy(update={"clip_id": clip_id, "stop_seconds": 2.0, "modality": "ocr"})
    text = failure_of(tmp_path, question("q1", "B", found=(clip,)), [library])
    page = Page(text)
    # What it was found by comes first.
    assert "on screen shown large speech said <i>aloud</i> metadata Title: a test" in page.text
    assert page.values("src")[0].startswith("data:image/jpeg;base64,/9j/")
    assert "Name the library" not in page.text


def test_pictures_are_small_and_of_known_clips_only(tmp_path: Path) -> None:
    library, clip_id = indexed_library(tmp_path)
    right = found(0).model_copy(update={"clip_id": clip_id, "stop_seconds": 2.0})
    otherwise_cut = right.model_copy(update={"stop_seconds": 3.0})
    with RunFootage([library]) as footage:
        assert set(footage.pictures([right, found(10)])) == {clip_id}
        (tmp_path / "one.jpg").write_bytes(footage.pictures([right])[clip_id])
        assert [quote.modality for quote in footage.quotes(right)] == [
            Modality.ASR, Modality.OCR, Modality.DESCRIPTION,
        ]  # fmt: skip
        assert footage.quotes(otherwise_cut) == ()
        assert footage.pictures([otherwise_cut]) == {}
    with Image.open(tmp_path / "one.jpg") as picture:
        assert max(picture.size) <= 320


def test_a_video_that_is_gone_leaves_the_page_without_a_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    library, clip_id = indexed_library(tmp_path)
    (tmp_path / "v1.mp4").unlink()
    with RunFootage([library]) as footage:
        clip = found(0).model_copy(update={"clip_id": clip_id, "stop_seconds": 2.0})
        assert footage.pictures([clip]) == {}
        assert len(footage.quotes(clip)) == 3
    assert "no pictures of" in caplog.text


def test_libraries_are_found_where_runs_keep_them(tmp_path: Path) -> None:
    for folder in ("cache/mini-1/library", "mini/cache/mini-2/library"):
        Store.open(tmp_path / folder).close()
    assert find_libraries(tmp_path / "mini") == (
        tmp_path / "mini/cache/mini-2/library",
        tmp_path / "cache/mini-1/library",
    )


# --- plots


def test_points_are_drawn_in_percent_with_their_intervals() -> None:
    points = [
        Point("clamr", 8, interval(0.3, 0.2, 0.5)),
        Point("clamr", 128, interval(0.6, 0.5, 0.7)),
        Point("$uniform$", 8, interval(0.4, 0.3, 0.5)),
    ]
    figure = point_plot(points, x_label="frames", y_label="accuracy (%)", guessing=0.25)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("frames", "accuracy (%)")
    assert axes.get_xscale() == "log"
    bars = {each.get_label(): each for each in axes.containers}
    assert list(bars["clamr"].lines[0].get_xydata().ravel()) == pytest.approx([8, 30, 128, 60])
    reaches = [segment[:, 1] for segment in bars["clamr"].lines[2][0].get_segments()]
    assert [list(reach) for reach in reaches] == [
        pytest.approx([20, 50]), pytest.approx([50, 70]),
    ]  # fmt: skip
    low, high = axes.get_xlim()
    assert low < 8
    assert high > 128
    names = [each.get_text() for each in figure.legends[0].get_texts()]
    assert names == ["clamr", "$uniform$", "guessing"]


def test_costs_that_are_alike_are_shown_from_zero() -> None:
    points = [Point("a", 3.0, interval(0.5)), Point("b", 4.0, interval(0.5))]
    axes = point_plot(points, x_label="s", y_label="%").axes[0]
    assert (axes.get_xscale(), axes.get_xlim()[0]) == ("linear", 0)


def test_bars_stand_in_order_with_a_series_beside_the_other() -> None:
    bars = [
        Bar("fact", "mini", interval(0.5)),
        Bar("fact", "bm25", interval(0.25)),
        Bar("two", "mini", interval(0.75, clusters=1)),
    ]
    axes = bar_plot(bars, title="by kind", y_label="%").axes[0]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["fact", "two"]
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == [50, 75, 25]
    places = [patch.get_y() + patch.get_height() / 2 for patch in axes.patches]
    assert places == pytest.approx([-0.2, 0.8, 0.2])
    assert axes.yaxis_inverted()


def test_long_labels_leave_room_for_the_bars(tmp_path: Path) -> None:
    name = "x" * 400 + " (n=12)"
    figure = bar_plot([Bar(name, "run " * 60, interval(0.5))], title=name, y_label="%")
    write_plot(figure, tmp_path, "long")  # a layout that does not fit is a warning
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert label.endswith("(n=12)")
    assert max(map(len, label.split("\n"))) <= 26
    assert figure.axes[0].get_window_extent().width > 0.4 * figure.bbox.width


def test_the_same_figures_are_the_same_bytes_without_a_date(tmp_path: Path) -> None:
    bars = [Bar("$5 & up", "mini", interval(0.5)), Bar("two", "bm25", interval(0.1))]
    for name in ("one", "other"):
        write_plot(bar_plot(bars, title="by price", y_label="%"), tmp_path, name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    svg = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in svg
    assert ET.fromstring(svg).tag.endswith("svg")
    with Image.open(tmp_path / "one.png") as picture:
        assert not picture.info.keys() & {"Software", "Creation Time"}
        assert picture.width == 1440
