"""The paper in miniature: its rows against the arms', its tables against figures worked out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arm_values import ListPool, read_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.mini import load_mini
from clamr_rag.encoder.mini_weights import WEIGHTS, how_made
from clamr_rag.errors import UsageError
from clamr_rag.scoring import PackedVectors, packed_modality_scores, packed_token_max
from clamr_rag.types import Modality, MultiVector
from eval.arms import ArmParts, ArmQuery, make_arm
from eval.arms.pools import PoolClip
from eval.benchmarks.synthetic import WorldPool
from eval.paper.__main__ import Weights, compare, main, weights_in
from eval.paper.figures import CUTOFF, Figures, Role, Row, Run, read_figures, row_of
from eval.paper.intervals import gains, interval
from eval.paper.pools import MODALITIES, DrawnPool, GappyPool, LyingPool, random_gaps
from eval.paper.scores import score_all
from eval.paper.study import Study
from eval.paper.subject import Subject, held_out
from eval.paper.tables import (
    aims,
    all_tables,
    budgets,
    confusion,
    contradicted,
    controls,
    kinds_of_queries,
    missing,
    stages_from,
    training_scorers,
)
from eval.paper.train import commands
from eval.paper.writing import FIGURES_NAME, PAGE_NAME, write_page
from eval.report.tables import Table
from eval.stats import bootstrap
from eval.synthetic import make_world

LINES = ("one is told", "two is told", "three is told")


# --- scores of many queries at once


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), num_clips=st.integers(1, 70), num_queries=st.integers(1, 40))
def test_scores_at_once_are_those_of_single_queries(
    seed: int, num_clips: int, num_queries: int
) -> None:
    rng = np.random.default_rng(seed)
    clips = [random_vectors(rng, int(rng.integers(0, 9))) for _ in range(num_clips)]
    queries = [random_vectors(rng, int(rng.integers(1, 6))) for _ in range(num_queries)]
    packed = PackedVectors.from_multi_vectors(clips, dim=8)
    scores = score_all(queries, clips, 8)
    for number, query in enumerate(queries):
        by_modality = packed_modality_scores(query, packed)
        np.testing.assert_allclose(scores.by_modality[number], by_modality, atol=1e-6)
        by_token = packed_token_max(query, packed)
        np.testing.assert_allclose(scores.by_token[number], by_token, atol=1e-6)


def random_vectors(rng: np.random.Generator, count: int) -> MultiVector:
    rows = rng.normal(size=(count, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    modalities = rng.integers(0, 5, count).astype(np.uint8)
    return MultiVector(rows, modalities, np.full(count, np.nan, np.float32))


# --- places and what they are worth


def test_places_count_what_is_ahead_and_what_is_equal() -> None:
    scores = np.array([[0.5, 0.9, 0.1], [0.5, 0.5, 0.5], [0.2, 0.2 + 5e-7, 0.1]], np.float32)
    assert row_of(scores, np.array([0, 1, 0])).places == "121"


def test_what_is_not_found_is_nowhere() -> None:
    scores = np.array([[-np.inf, 0.9], [-np.inf, -np.inf]], np.float32)
    row = row_of(scores, np.array([0, 1]))
    assert row.places == "--"
    assert gains(row, "R@5").sum() == 0


def test_places_beyond_the_cutoff_and_unasked_queries() -> None:
    scores = np.tile(np.arange(12, dtype=np.float32), (3, 1))
    asked = np.array([True, True, False])
    row = row_of(scores, np.array([0, 2, 11]), asked=asked)
    assert row.places == "-9."
    assert row.ranks.tolist() == [CUTOFF, 9, CUTOFF]
    assert row.asked.tolist() == [True, True, False]


def test_named_modalities_come_back() -> None:
    named = (Modality.VIDEO, None, Modality.DESCRIPTION, Modality.ASR, Modality.OCR)
    row = row_of(np.zeros((5, 1), np.float32), np.zeros(5, np.int64), named)
    assert row.named == "v.dao"
    assert row.modalities == named


def test_gains_of_known_places() -> None:
    row = Row(places="0129-")
    assert gains(row).tolist() == pytest.approx([1, 1 / np.log2(3), 0.5, 1 / np.log2(11), 0])
    assert gains(row, "R@1").tolist() == [1, 0, 0, 0, 0]
    assert gains(row, "R@5").tolist() == [1, 1, 1, 0, 0]


# --- intervals


def test_an_interval_of_one_seed_is_the_bootstrap_of_clips() -> None:
    rng = np.random.default_rng(3)
    clips = np.repeat(np.arange(60), 4)
    values = np.clip(rng.normal(0.5, 0.2, 60)[clips] + rng.normal(0, 0.2, 240), 0, 1)
    ours = interval(values[None], clips)
    theirs = bootstrap(values.tolist(), [str(clip) for clip in clips])
    assert ours.mean == pytest.approx(theirs.mean)
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)
    assert ours.num_clusters == 60


def test_seeds_that_differ_widen_an_interval() -> None:
    values, clips = np.tile([0.0, 1.0], 50), np.arange(100)
    alike = interval(np.stack([values] * 3), clips)
    apart = interval(np.stack([values, values / 2, 0 * values]), clips)
    assert alike.mean == 0.5
    assert apart.mean == 0.25
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)


def test_queries_of_one_clip_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0] * 10, 10)[None]
    together = interval(values, np.repeat(np.arange(20), 10))
    alone = interval(values, np.arange(200))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_no_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="need \\(seeds, Q\\)"):
        interval(np.empty((1, 0)), [])
    with pytest.raises(ValueError, match="3 clips"):
        interval(np.zeros((1, 2)), [0, 1, 2])


# --- pools


def three_clips() -> ListPool:
    return ListPool(
        read_of(1, asr="said", ocr="written", description="told"),
        read_of(2, asr="said again"),
        read_of(3, ocr="written again"),
    )


def test_gaps_take_away_and_leave_something() -> None:
    clips = three_clips().clips * 50
    for share in (0.3, 1.0):
        kept = random_gaps(clips, share)
        assert all(kept)
        assert all(Modality.DESCRIPTION not in own for own in kept[1::3])
    assert {len(own) for own in kept} == {1}
    assert 0.6 < np.mean([len(own) for own in random_gaps(clips, 0.3)[::3]]) / 4 < 0.8
    assert random_gaps(clips, 0.3) == random_gaps(clips, 0.3)


def test_a_pool_with_gaps_has_them_in_clips_and_in_what_is_read() -> None:
    kept = [frozenset({Modality.ASR}), frozenset({Modality.VIDEO}), frozenset(MODALITIES)]
    pool = GappyPool(three_clips(), kept)
    assert [clip.texts.asr for clip in pool.clips] == ["said", None, None]
    first, second, third = pool.read(range(3), MODALITIES)
    assert (first.asr, first.ocr, first.description, first.frames) == ("said", None, None, ())
    assert (second.asr, len(second.frames)) == (None, 1)
    assert (third.ocr, len(third.frames)) == ("written again", 1)
    assert pool.fingerprint != GappyPool(three_clips(), kept[::-1]).fingerprint


def test_lies_stand_below_what_is_true() -> None:
    pool = LyingPool(three_clips(), LINES)
    assert [clip.texts.asr for clip in pool.clips] == [
        "said\none is told", "said again", "three is told",
    ]  # fmt: skip
    assert [clip.texts.ocr for clip in pool.clips] == ["written", "two is told", "written again"]
    read = list(pool.read((1, 2), MODALITIES))
    assert [each.asr for each in read] == ["said again", "three is told"]
    assert read[0].ocr == "two is told"
    assert pool.fingerprint != three_clips().fingerprint


def test_fitted_pictures_are_to_mini_what_they_were(tiny: Subject) -> None:
    encoder = load_mini(EncoderOptions(), name="mini-vl")
    clips = make_world(101, 0.1, "test").clips[:2]
    drawn = list(WorldPool(clips).read(range(2), MODALITIES))
    fitted = list(DrawnPool(WorldPool(clips)).read(range(2), MODALITIES))
    for one, other in zip(encoder.encode_clips(drawn), encoder.encode_clips(fitted), strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)
    (blind,) = DrawnPool(WorldPool(clips)).read([0], ())
    assert blind.frames == ()


# --- twelve clips from end to end


@pytest.fixture(scope="module")
def tiny() -> Subject:
    return held_out(hours=0.1, num_clips=12)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, tiny: Subject) -> Path:
    """The shipped weights, measured as if trained in two ways."""
    folder = tmp_path_factory.mktemp("results")
    compare([Weights(role, 0, WEIGHTS) for role in ("modality_max", "token_max")], tiny, folder)
    return folder


@pytest.fixture(scope="module")
def measured_run(out: Path) -> Run:
    run = read_figures(out / FIGURES_NAME).run("modality_max", 0)
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("row", "arm", "budget"),
    [
        *((name, name, 0) for name in (
            "joint", "joint-token-max", "joint-asr", "joint-video", "asr", "ocr", "description",
            "video", "mean", "mean-z", "max", "rrf", "router", "router-gold", "bm25",
        )),
        ("joint@16", "joint", 16),
        ("joint@32-shared", "joint", 32),
        ("joint-token-max@32", "joint-token-max", 32),
        ("max@64", "max", 64),
        ("max@16-shared", "max", 16),
    ],
)  # fmt: skip
def test_rows_are_what_the_arms_find(
    row: str, arm: str, budget: int, out: Path, measured_run: Run, tiny: Subject
) -> None:
    figures = read_figures(out / FIGURES_NAME)
    measured = {**figures.rows, **measured_run.rows}[row]
    encoder = load_mini(EncoderOptions(), name="mini-vl")
    pooling = "shared" if row.endswith("-shared") else "hierarchical"
    ranker = make_arm(arm, ArmParts(encoder, vectors_per_clip=budget, pooling=pooling))
    ranker.index(tiny.pool)
    for number, query in enumerate(tiny.queries):
        found = ranker.rank(ArmQuery(query.text, modality=query.modality))
        scores = {each.clip_id: each.score for each in found}
        (gold,) = query.relevant
        place = "-"
        if gold in scores:
            ahead = sum(score >= scores[gold] - 1e-6 for score in scores.values()) - 1
            place = str(ahead) if ahead < CUTOFF else "-"
        assert measured.places[number] == place, query
        if measured.named and found:
            assert measured.modalities[number] == found[0].modality


def test_what_is_taken_away_is_not_found_by_it(measured_run: Run, tiny: Subject) -> None:
    rows, pictures = measured_run.rows, tiny.is_about_picture
    blank = rows["video-blank"]
    assert (blank.asked == pictures).all()
    # All grey frames are equal, so that all other clips are ahead.
    assert set(blank.ranks) == {CUTOFF}
    assert (rows["video-moved"].asked == pictures).all()
    assert gains(rows["video-moved"])[pictures].sum() > 0
    for way in ("joint", "max"):
        without = rows[f"{way}-without-video"]
        assert gains(without)[pictures].sum() < gains(rows[way])[pictures].sum()
    gaps = rows["joint-with-gaps"]
    assert 0 < gaps.asked.sum() < len(tiny.queries)


def test_a_liar_is_another_clip_than_the_one_it_describes(tiny: Subject) -> None:
    assert (tiny.liars != tiny.gold).all()
    for query, liar in zip(tiny.queries, tiny.liars, strict=True):
        (gold,) = query.relevant
        assert tiny.pool.clips[tiny.described[liar]].clip_id == gold
    assert len(set(tiny.false_lines)) == 12


def test_a_run_says_how_its_weights_were_made(measured_run: Run) -> None:
    assert measured_run.told["command"].startswith("python -m eval.mini.train")
    assert measured_run.vectors["16"] <= 16 < 64 < measured_run.vectors["all"]


def test_weights_that_were_measured_are_not_measured_again(
    out: Path, tiny: Subject, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(out, folder)
    before = (folder / FIGURES_NAME).read_bytes()
    (folder / PAGE_NAME).unlink()
    compare([Weights("token_max", 0, WEIGHTS)], tiny, folder)
    assert (folder / FIGURES_NAME).read_bytes() == before
    assert (folder / PAGE_NAME).read_text() == (out / PAGE_NAME).read_text()


def test_other_weights_take_the_place_of_old_ones(out: Path, tiny: Subject, tmp_path: Path) -> None:
    folder, anew = tmp_path / "results", tmp_path / "anew.safetensors"
    shutil.copytree(out, folder)
    save_file(load_file(WEIGHTS), anew, {**how_made(WEIGHTS), "minutes": "1.0"})
    figures = compare([Weights("token_max", 0, anew)], tiny, folder)
    assert figures == read_figures(folder / FIGURES_NAME)
    old, new = (read_figures(each / FIGURES_NAME).run("token_max", 0) for each in (out, folder))
    assert old is not None
    assert new is not None
    assert old.sha256 != new.sha256
    # The weights are the same numbers.
    assert old.rows == new.rows
    assert [(run.role, run.seed) for run in figures.runs] == [("modality_max", 0), ("token_max", 0)]


def test_figures_of_other_clips_are_kept(out: Path) -> None:
    other = held_out(hours=0.1, num_clips=11)
    with pytest.raises(UsageError, match=r"12 clips.*11 clips"):
        compare([], other, out)


def test_the_page_shows_its_plots(out: Path) -> None:
    page = (out / PAGE_NAME).read_text(encoding="utf-8")
    for name in ("retrievers", "budgets"):
        assert f"]({name}.svg)" in page
        assert (out / f"{name}.svg").read_text(encoding="utf-8").count("<path") > 20
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "nan" not in page
    assert page.count("\n## ") == 11


def test_the_command_writes_the_page_anew(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(out, folder)
    (folder / PAGE_NAME).unlink()
    words = ["--hours", "0.1", "--num-clips", "12", "--out", str(folder)]
    assert main(words) == 0
    assert (folder / PAGE_NAME).read_bytes() == (out / PAGE_NAME).read_bytes()


def test_the_command_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--weights", "best", "0", str(WEIGHTS), "--out", str(tmp_path)]) == 2
    assert "got weights 'best' '0'; allowed: one of modality_max" in capsys.readouterr().err
    assert main(["--folder", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "ROLE-SEED.safetensors" in capsys.readouterr().err


def test_weights_of_a_folder_are_known_by_name(tmp_path: Path) -> None:
    for name in ("token_max-2", "modality_max-0"):
        (tmp_path / f"{name}.safetensors").touch()
    assert [(own.role, own.seed) for own in weights_in(tmp_path)] == [
        ("modality_max", 0), ("token_max", 2),
    ]  # fmt: skip
    (tmp_path / "modality_max.safetensors").touch()
    with pytest.raises(UsageError, match="and a seed"):
        weights_in(tmp_path)


def test_files_that_are_no_figures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FIGURES_NAME
    path.write_text('{"subject": 1}')
    with pytest.raises(UsageError, match="holds no figures"):
        read_figures(path)
    path.write_text(known([]).model_copy(update={"version": 0}).model_dump_json())
    with pytest.raises(UsageError, match="version 0"):
        read_figures(path)


# --- tables of known places


def known(runs: Sequence[Run]) -> Figures:
    """Four queries about three clips."""
    return Figures(
        subject="known",
        kinds=("fact", "rival", "picture", "two"),
        modalities=("o", "a", "v", "va"),
        gold=(0, 1, 1, 2),
        num_clips=3,
        rows={"bm25": Row(places="0---")},
        routed="oavv",
        runs=tuple(runs),
    )


def run_of(role: Role, seed: int, told: str = "", subject: str = "s", **rows: str) -> Run:
    """A row's places, and after a slash what it named."""
    parts = {name.replace("_", "-"): text.partition("/") for name, text in rows.items()}
    return Run(
        role=role,
        seed=seed,
        file="x",
        sha256="0" * 64,
        told={"command": told},
        subject_sha256=subject,
        commit="0" * 40,
        seconds=1,
        vectors={"16": 16, "32": 32, "64": 60, "all": 100},
        rows={n: Row(places=places, named=named) for n, (places, _, named) in parts.items()},
    )


def cells(table: Table, first: str) -> dict[str, str]:
    """The row that begins with a text, by column, without intervals."""
    row = next(row for row in table.rows if row[0].startswith(first))
    return {name: cell.partition(" [")[0] for name, cell in zip(table.columns, row, strict=True)}


def test_it_is_said_whose_moved_frames_were_measured() -> None:
    def notes(*moved: str) -> tuple[str, ...]:
        told = [{"video_moved": places} if places else {} for places in moved]
        runs = [run_of("modality_max", n, video="--0-", **rows) for n, rows in enumerate(told)]
        return controls(Study(known(runs))).notes[1:]

    assert notes("--1-", "") == ("Moved frames: weights of seed 0 only.",)
    assert notes("--1-", "--0-") == notes("", "") == ()


def test_kinds_and_single_figures() -> None:
    study = Study(known([run_of("modality_max", 0, joint="0012", ocr="0---", max="10-0")]))
    table = kinds_of_queries(study)
    assert [row[:2] for row in table.rows] == [
        ("fact", "1"), ("rival", "1"), ("picture", "1"), ("two", "1"),
    ]  # fmt: skip
    picture = cells(table, "picture")
    assert (picture["joint nDCG@10"], picture["joint R@1"]) == ("63.1", "0.0")
    assert (picture["max"], picture["BM25"], picture["mean"]) == ("0.0", "0.0", "–")


def test_aims_are_differences_on_the_same_queries() -> None:
    run = run_of(
        "modality_max", 0, joint="0000/oavv", ocr="0---", video="--0-", max="0-0-", mean="----",
        joint_without_ocr="--00", video_blank="..-.",
    )  # fmt: skip
    table = aims(Study(known([run])))
    by_label = {row[0]: row for row in table.rows}
    assert by_label["leads the best single modality (video)"][2].startswith("75.0 [")
    assert by_label["leads the best fusion (max)"][2].startswith("50.0 [")
    assert by_label["names the modality asked about"][2:] == ("100.0 [100.0, 100.0]", "yes")
    # Of the three queries that are not about the screen one is lost.
    assert by_label["lost by others without ocr"][2].startswith("33.3 [")
    assert by_label["lost by others without ocr"][3] == "no"
    assert by_label["lost by others without asr"][2:] == ("–", "–")
    assert by_label["blank frames: pictures found first"][3] == "yes"


def test_the_best_fusion_may_be_a_pooled_one() -> None:
    run = run_of("modality_max", 0, joint="0000", max="0---")
    rows = {"max@32": Row(places="00--"), "max@16-shared": Row(places="000-")}
    pooled = run.model_copy(update={"rows": {**run.rows, **rows}})
    labels = [row[0] for row in aims(Study(known([pooled]))).rows]
    assert "leads the best fusion (max)" in labels
    assert "leads the best fusion at any budget (max@16-shared)" in labels


def test_seeds_stand_beside_their_mean() -> None:
    study = Study(
        known(
            [
                run_of("modality_max", 0, joint="0000/oavv", joint_token_max="0---"),
                run_of("modality_max", 1, joint="----/aovv", joint_token_max="0---"),
                run_of("token_max", 0, joint="00--/oavv"),
            ]
        )
    )
    table = training_scorers(study)
    assert [row[:2] for row in table.rows] == [
        ("modality_max", "modality_max"), ("modality_max", "token_max"),
        ("token_max", "modality_max"),
    ]  # fmt: skip
    first = cells(table, "modality_max")
    assert (first["nDCG@10"], first["nDCG@10 by seed"]) == ("50.0", "100.0, 0.0")
    assert first["R@1 of rivals"] == "50.0"
    assert first["gold modality named"] == "66.7"


def test_confusion_counts_queries_about_one_modality() -> None:
    table = confusion(Study(known([run_of("modality_max", 0, joint="0000/aavv")])))
    assert table.rows == (
        ("about video", "1", "100.0", "0.0", "0.0", "0.0"),
        ("about ocr", "1", "0.0", "0.0", "100.0", "0.0"),
        ("about asr", "1", "0.0", "0.0", "100.0", "0.0"),
    )


def test_gaps_are_compared_on_the_queries_that_they_spare() -> None:
    run = run_of(
        "modality_max", 0, joint="0-00", joint_with_gaps="0..-", max="----", max_with_gaps="-..-"
    )
    last = cells(missing(Study(known([run]))), "each modality")
    assert (last["queries"], last["joint before"], last["joint after"]) == ("2", "100.0", "50.0")
    assert last["joint loses"] == "+50.0"
    assert last["max loses"] == "0.0"


def test_lies_and_liars() -> None:
    run = run_of(
        "modality_max", 0, joint="0000", joint_with_lies="00-0", joint_liar="..0.", max="0---"
    )
    table = contradicted(Study(known([run])))
    joint = cells(table, "joint")
    assert (joint["pictures before"], joint["after"], joint["liar first"]) == (
        "100.0", "0.0", "100.0",
    )  # fmt: skip
    assert joint["other queries after"] == "100.0"
    assert cells(table, "encoded apart")["after"] == "–"


def test_budgets_name_the_vectors_that_are_left() -> None:
    run = run_of("modality_max", 0, joint="0000")
    rows = {"joint@64": Row(places="00--"), "joint@64-shared": Row(places="000-")}
    pooled = run.model_copy(update={"rows": {**run.rows, **rows}})
    table = budgets(Study(known([pooled])))
    assert cells(table, "64")["joint, shared"] == "75.0"
    assert cells(table, "all")["joint, shared"] == "100.0"
    assert (cells(table, "64")["on average"], cells(table, "64")["joint"]) == ("60.0", "50.0")
    assert cells(table, "all")["joint"] == "100.0"
    assert cells(table, "16")["joint"] == "–"


def test_tables_of_nothing_are_tables() -> None:
    assert len(all_tables(Study(known([])))) == 11


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["--start M", "--start M"], "start from one state"),
        (["", ""], "No two files of weights share"),
        (["--folder A", "--folder A", "--folder B"], "Weights that name the same state"),
        (["--settled A", "--start A", "--settled B"], "Weights that name the same state"),
        (["--start M"], "One file of weights"),
    ],
)
def test_the_page_says_what_seeds_share(told: list[str], says: str, tmp_path: Path) -> None:
    runs = [run_of("modality_max", n, command, joint="0000") for n, command in enumerate(told)]
    write_page(known(runs), tmp_path)
    assert says in (tmp_path / PAGE_NAME).read_text(encoding="utf-8")


def test_the_page_warns_of_other_clips(tmp_path: Path) -> None:
    def page(*subjects: str) -> str:
        runs = [
            run_of("modality_max", n, subject=subject, joint="0000")
            for n, subject in enumerate(subjects)
        ]
        write_page(known(runs), tmp_path)
        return (tmp_path / PAGE_NAME).read_text(encoding="utf-8")

    assert "cannot be compared" in page("one", "other")
    assert "cannot be compared" not in page("one", "one")


def test_other_pictures_and_queries_are_another_subject(tiny: Subject) -> None:
    assert tiny.sha256 == held_out(hours=0.1, num_clips=12).sha256
    fewer = replace(tiny, queries=tiny.queries[1:])
    small = DrawnPool(WorldPool(make_world(101, 0.1, "test").clips[:12], frame_size=(320, 180)))
    assert len({each.sha256 for each in (tiny, fewer, replace(tiny, pool=small))}) == 3


def test_a_state_is_read_from_the_command() -> None:
    assert stages_from({"command": "x --seed 1 --start runs/m.pt --out y"}) == "runs/m.pt"
    assert stages_from({"command": "x (in two runs, the second with --start M)"}) == "M"
    assert stages_from({"command": "x --out --start"}) is None
    assert stages_from({}) is None


# --- what is trained


def test_each_seed_trains_its_first_stages_once(tmp_path: Path) -> None:
    told = [" ".join(command[1:]) for command in commands(tmp_path, [0, 1])]
    assert told == [
        f"-m eval.mini.train --seed {seed} {told} --folder {tmp_path}/seed-{seed} "
        f"--out {tmp_path}/{role}-{seed}.safetensors"
        for seed in (0, 1)
        for role, told in (
            ("modality_max", "--scorer modality_max"),
            ("token_max", "--scorer token_max"),
            ("separate", "--scorer modality_max --encoding apart"),
        )
    ]
    assert commands(tmp_path, [0])[0][0] == sys.executable


def test_what_is_there_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "modality_max-0.safetensors").touch()
    assert [command[-1].rpartition("/")[2] for command in commands(tmp_path, [0, 1])] == [
        "token_max-0.safetensors", "separate-0.safetensors", "modality_max-1.safetensors",
        "token_max-1.safetensors", "separate-1.safetensors",
    ]  # fmt: skip
    shared = commands(tmp_path, [0], tmp_path / "shared.safetensors", ["--join-steps", "9"])
    assert [command[3:] for command in shared[:1]] == [
        ["--seed", "0", "--scorer", "token_max", "--start", f"{tmp_path}/shared.safetensors",
         "--out", f"{tmp_path}/token_max-0.safetensors", "--join-steps", "9"]
    ]  # fmt: skip


def test_clips_of_a_pool_are_its_clips(tiny: Subject) -> None:
    assert all(isinstance(clip, PoolClip) for clip in tiny.pool.clips)
    assert [tiny.pool.clips[clip].clip_id for clip in tiny.gold] == [
        next(iter(query.relevant)) for query in tiny.queries
    ]
