"""Retrieval runs: drawn and rendered worlds, stops and shards, changes to the clips, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from arm_values import ListPool, WordEncoder, read_of
from hypothesis import given
from hypothesis import strategies as st

from clamr_rag import VideoLibrary
from clamr_rag.encoder.inputs import clip_input
from clamr_rag.errors import UsageError
from clamr_rag.types import Modality, TimeSpan
from eval.arms import (
    Arm,
    ArmParts,
    ArmQuery,
    ClipPool,
    EncodingCache,
    Found,
    IndexCost,
    make_arm,
)
from eval.arms.library_pool import LibraryPool
from eval.benchmarks import load_benchmark, load_retrieval
from eval.benchmarks.records import (
    BenchmarkVideo,
    QaBenchmark,
    RetrievalBenchmark,
    RetrievalCandidate,
    RetrievalQuery,
)
from eval.benchmarks.synthetic import (
    WorldPool,
    qa_benchmark,
    rendered_retrieval,
    retrieval_benchmark,
    world_of_size,
)
from eval.retrieval_ranking import Part, run_retrieval
from eval.retrieval_records import (
    FoundCandidate,
    RankingRecord,
    RankingTiming,
    load_retrieval_run,
    merge_retrieval_runs,
    rankings_digest,
)
from eval.retrieval_subjects import (
    Subject,
    changed,
    clips_and_candidates,
    library_subject,
    synthetic_subject,
)
from eval.retrieval_tables import better_by, figures, report_tables
from eval.run_retrieval import main
from eval.synthetic import make_questions, make_world, render
from eval.synthetic.questions import LETTERS

WORLD = make_world(3, 0.1, "dev")
QUESTIONS = {question.id: question for question in make_questions(WORLD)}
DRAWN = retrieval_benchmark(WORLD)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "rendered"
    render(make_world(3, 1 / 60, "dev"), folder)
    return folder


@pytest.fixture(scope="module")
def library_folder(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    with VideoLibrary.open(folder) as library:
        for video in sorted((rendered / "videos").glob("*.mp4")):
            library.add(video)
    return folder


# -- the world as a benchmark ------------------------------------------------------------------


def test_every_clip_is_a_candidate_and_every_answerable_question_a_query() -> None:
    benchmark = DRAWN.benchmark
    assert [c.candidate_id for c in benchmark.candidates] == [c.clip_id for c in WORLD.clips]
    answered = [question for question in QUESTIONS.values() if question.kind != "absent"]
    assert len(answered) < len(QUESTIONS)
    assert [query.query_id for query in benchmark.queries] == [q.id for q in answered]
    for query in benchmark.queries:
        question = QUESTIONS[query.query_id]
        assert query.relevant == dict.fromkeys(question.clip_ids, 1)
        assert query.text == question.query
        assert query.video_id is None
        assert not query.relevant.keys() & {*question.rival_ids, *question.near_duplicate_ids}


def test_a_query_names_its_modality_where_it_needs_only_one() -> None:
    for query in DRAWN.benchmark.queries:
        needs = QUESTIONS[query.query_id].modalities
        assert DRAWN.groups[query.query_id]["modality"] == ("+".join(needs),)
        named = query.modality.name.lower() if query.modality else None
        assert named == (needs[0] if len(needs) == 1 else None)


def test_the_first_clips_come_with_their_own_queries() -> None:
    few = retrieval_benchmark(WORLD, num_clips=5, wording="question", within_video=True)
    ids = {clip.clip_id for clip in WORLD.clips[:5]}
    assert {c.candidate_id for c in few.benchmark.candidates} == ids
    assert few.benchmark.queries
    for query in few.benchmark.queries:
        assert ids.issuperset(query.relevant)
        assert query.text == QUESTIONS[query.query_id].question
        assert query.video_id == QUESTIONS[query.query_id].video
    with pytest.raises(UsageError, match="got 9999 clips"):
        retrieval_benchmark(WORLD, num_clips=9999)


@pytest.mark.parametrize("count", [1, 19, 100])
def test_a_world_of_a_size_has_it_and_not_much_more(count: int) -> None:
    assert count <= len(world_of_size(1, "dev", count).clips) <= max(20, 1.3 * count)


def test_a_world_pool_reads_what_training_reads_and_draws_only_when_asked() -> None:
    pool = WorldPool(WORLD.clips[:3], num_frames=2, frame_size=(32, 18))
    seen, unseen = (list(pool.read((2, 0), senses)) for senses in ([Modality.VIDEO], []))
    assert [read.frames[0].shape for read in seen] == [(18, 32, 3)] * 2
    assert all(not read.frames for read in unseen)
    assert seen[0].asr == unseen[0].asr == (WORLD.clips[2].text(Modality.ASR) or None)
    assert not np.array_equal(seen[0].frames[0], seen[1].frames[0])
    other = WorldPool(WORLD.clips[:3], num_frames=3, frame_size=(32, 18))
    assert other.fingerprint != pool.fingerprint


def test_questions_come_with_letters_or_open() -> None:
    choices, opened = (qa_benchmark(WORLD, form=form) for form in ("choices", "open"))
    assert choices.rules == ("strict",)
    for question, bare in zip(choices.questions, opened.questions, strict=True):
        truth = QUESTIONS[question.question_id]
        assert question.options == truth.choices
        assert bare.options == ()
        assert question.groups["kind"] == (truth.kind,)
        if truth.kind == "absent":
            assert (question.answer, bare.answer, question.video_id) == (None, None, "")
            assert question.evidence == ()
        else:
            assert question.answer is not None
            assert truth.choices[LETTERS.index(question.answer)] == bare.answer
            assert [(m.video_id, m.span.start_seconds) for m in question.evidence] == [
                (truth.video, truth.spans[0][0])
            ]
    kinds = {question.groups["kind"] for question in qa_benchmark(WORLD, absent=False).questions}
    assert ("absent",) not in kinds


def test_a_video_of_the_world_has_its_cues() -> None:
    (video,) = qa_benchmark(WORLD).videos.values()
    assert video.path is None
    assert video.subtitles is not None
    said = [cue.text for cue in video.subtitles.cues]
    assert said == [cue.text for clip in WORLD.clips for cue in clip.cues]


def test_a_rendered_world_is_loaded_by_name(rendered: Path) -> None:
    loaded = load_benchmark("synthetic", rendered, form="open", absent="no", subtitles="none")
    assert isinstance(loaded, QaBenchmark)
    assert not loaded.missing_videos
    assert all(video.path and video.path.is_file() for video in loaded.videos.values())
    assert all(video.subtitles is None for video in loaded.videos.values())
    assert "sha256" in loaded.source
    drawn = qa_benchmark(make_world(3, 1 / 60, "dev"), form="open", absent=False)
    assert loaded.questions == drawn.questions
    with pytest.raises(UsageError, match="maybe"):
        load_benchmark("synthetic", rendered, absent="maybe")


def test_a_rendered_world_is_loaded_as_queries_too(rendered: Path) -> None:
    assert load_retrieval("synthetic", rendered) == rendered_retrieval(rendered).benchmark
    within = load_retrieval("synthetic", rendered, wording="question", within_video="yes")
    assert {query.video_id for query in within.queries} == set(within.videos)
    searched = {query.text for query in rendered_retrieval(rendered).benchmark.queries}
    assert searched.isdisjoint(query.text for query in within.queries)
    with pytest.raises(UsageError, match=r"got wording 'shout'; allowed: search, question"):
        load_retrieval("synthetic", rendered, wording="shout")
    with pytest.raises(UsageError, match=r"got the option 'form'; allowed: wording, within_video"):
        load_retrieval("synthetic", rendered, form="open")


def test_a_rendered_world_with_other_questions_is_refused(rendered: Path, tmp_path: Path) -> None:
    for name in ("world.json", "questions.jsonl"):
        (tmp_path / name).write_bytes((rendered / name).read_bytes())
    lines = (tmp_path / "questions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "questions.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(UsageError, match="differs from what its seed makes"):
        load_benchmark("synthetic", tmp_path)
    (tmp_path / "questions.jsonl").write_text("".join(lines))
    missing = load_benchmark("synthetic", tmp_path)
    assert missing.missing_videos == tuple(missing.videos)


# -- files -------------------------------------------------------------------------------------


def test_a_library_is_a_pool_with_frames_of_the_right_clips(library_folder: Path) -> None:
    with VideoLibrary.open(library_folder) as library:
        ids = [record.video.video_id for record in library.videos()]
        pool = LibraryPool(library, ids)
        stored = library.clips(ids[0])
        assert [clip.texts.asr for clip in pool.clips] == [clip_input(c).asr for c in stored]
        backwards = list(range(len(stored)))[::-1]
        senses = {Modality.VIDEO, Modality.AUDIO}  # the video has no sound: none is read
        forwards = list(pool.read(backwards[::-1], senses))
        for number, read in zip(backwards, pool.read(backwards, senses), strict=True):
            span = pool.clips[number].span
            assert read.frames
            assert read.audio is None
            assert all(span.contains(second) for second in read.frame_seconds)
            assert read.frame_seconds == forwards[number].frame_seconds
            assert np.array_equal(read.frames[0], forwards[number].frames[0])
        assert not next(pool.read([0], ())).frames
        assert pool.fingerprint == LibraryPool(library, ids).fingerprint


def test_clips_of_files_stand_for_the_worlds_clips(rendered: Path, library_folder: Path) -> None:
    synthetic = rendered_retrieval(rendered)
    with VideoLibrary.open(library_folder) as library:
        subject = library_subject(synthetic.benchmark, library, {}, synthetic.groups)
        assert list(subject.candidates.values()) == [
            (candidate.candidate_id,) for candidate in synthetic.benchmark.candidates
        ]
        assert subject.queries() == synthetic.benchmark.queries
        assert subject.ingest_seconds is None  # they were there already


def test_a_benchmark_of_whole_videos_runs_over_files(
    rendered: Path, library_folder: Path, tmp_path: Path
) -> None:
    video = next((rendered / "videos").glob("*.mp4"))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    paths = {"good": video, "broken": broken, "gone": None}
    benchmark = RetrievalBenchmark(
        name="tiny",
        split="test",
        source="by hand",
        candidates=tuple(RetrievalCandidate(name, name) for name in paths),
        queries=(
            RetrievalQuery("q1", "what was said", {"good": 1}),
            RetrievalQuery("q2", "what is gone", {"gone": 1, "broken": 1}),
            RetrievalQuery("q3", "both", {"gone": 1, "good": 1}),
        ),
        videos={name: BenchmarkVideo(name, path) for name, path in paths.items()},
        missing_videos=("gone",),
    )
    with VideoLibrary.open(library_folder) as library:
        subject = library_subject(benchmark, library, {})
        assert subject.failed_videos == ("broken",)
        cache = EncodingCache()
        arm = make_arm("mini", ArmParts(cache=cache))
        run = run_retrieval(subject, arm, cache, tmp_path / "run")
    assert run.header.missing_videos == ("gone", "broken")
    assert (run.header.num_queries, run.header.num_unanswerable) == (2, 1)
    assert [[f.candidate_id for f in r.found] for r in run.records] == [["good"], ["good"]]
    # What is missing cannot be found, and counts: one of two wanted at best.
    assert figures(run.records[1:]).report.worst["nDCG@10"] < 1


@dataclass(frozen=True)
class Span:
    start: float
    stop: float
    found_by: tuple[str, ...]


def test_parts_of_videos_are_found_by_clips_that_share_half() -> None:
    pool = ListPool(read_of(asr="x"), read_of(asr="y"))  # 0-10 and 10-20 of v0
    spans = [
        Span(0, 10, ("c0",)),
        Span(0, 20, ("c0", "c1")),
        Span(4, 14, ("c0",)),
        Span(5, 15, ("c0", "c1")),
        Span(12, 13, ("c1",)),
        Span(10, 20, ("c1",)),
        Span(30, 40, ()),
    ]
    candidates = [
        RetrievalCandidate(f"s{n}", "V", TimeSpan(span.start, span.stop))
        for n, span in enumerate(spans)
    ]
    matched = clips_and_candidates(candidates, pool.clips, {"V": "v0"})
    for number, span in enumerate(spans):
        assert tuple(clip for clip, names in matched.items() if f"s{number}" in names) == (
            span.found_by
        )


# -- runs --------------------------------------------------------------------------------------


def toy() -> Subject:
    """Six clips, a query for each, candidates are clips."""
    texts = ["red boat", "red barn", "blue boat", "blue barn", "green car", "green cart"]
    pool = ListPool(*(read_of(number, asr=text) for number, text in enumerate(texts)))
    benchmark = RetrievalBenchmark(
        name="toy",
        split="test",
        source="by hand",
        candidates=tuple(RetrievalCandidate(c.clip_id, c.video_id, c.span) for c in pool.clips),
        queries=tuple(
            RetrievalQuery(f"q{n}", text, {f"c{n}": 1}, Modality.ASR)
            for n, text in enumerate(texts)
        ),
        videos={name: BenchmarkVideo(name, None) for name in ("v0", "v1", "v2")},
    )
    return Subject(
        benchmark=benchmark,
        pool=pool,
        candidates={clip.clip_id: (clip.clip_id,) for clip in pool.clips},
        videos={name: name for name in benchmark.videos},
        groups={f"q{n}": {"colour": (text.split()[0],)} for n, text in enumerate(texts)},
    )


class Stopping:
    """An arm that is killed at its n-th query."""

    def __init__(self, arm: Arm, queries: int) -> None:
        self._arm, self._left = arm, queries
        self.name, self.details = arm.name, arm.details

    def index(self, pool: ClipPool) -> IndexCost:
        return self._arm.index(pool)

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._arm.rank(query, top_k)


def word_arm(name: str = "joint") -> tuple[Arm, EncodingCache]:
    cache = EncodingCache()
    return make_arm(name, ArmParts(WordEncoder(), cache=cache)), cache


def test_a_run_ranks_every_query(tmp_path: Path) -> None:
    arm, cache = word_arm()
    run = run_retrieval(toy(), arm, cache, tmp_path / "run")
    assert run.is_finished
    assert [record.found[0].candidate_id for record in run.records] == [f"c{n}" for n in range(6)]
    assert [record.cluster for record in run.records] == ["v0", "v0", "v1", "v1", "v2", "v2"]
    assert all(record.found[0].modality == "asr" for record in run.records)
    assert all(record.timing.latency_seconds > 0 for record in run.records)
    assert load_retrieval_run(tmp_path / "run") == run


@pytest.mark.parametrize("stop", range(6))
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, stop: int) -> None:
    arm, cache = word_arm()
    whole = run_retrieval(toy(), arm, cache, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_retrieval(toy(), Stopping(arm, stop), cache, tmp_path / "cut")
    with (tmp_path / "cut" / "rankings.jsonl").open("ab") as file:
        file.write(b'{"number": 3, "query')  # as a kill tears a line
    resumed = run_retrieval(toy(), Stopping(arm, 6 - stop), cache, tmp_path / "cut")
    assert rankings_digest(resumed) == rankings_digest(whole)
    assert resumed.header == whole.header


def test_a_finished_run_is_not_indexed_again(tmp_path: Path) -> None:
    arm, cache = word_arm()
    run_retrieval(toy(), arm, cache, tmp_path)
    encoder = WordEncoder()
    again = make_arm("joint", ArmParts(encoder))
    run_retrieval(toy(), again, EncodingCache(), tmp_path)
    assert encoder.batches == []


@given(num_shards=st.integers(1, 7), limit=st.none() | st.integers(1, 6))
def test_shards_share_the_queries_out(num_shards: int, limit: int | None) -> None:
    queries = toy().queries()
    parts = [Part(limit, (n, num_shards)).of(queries) for n in range(1, num_shards + 1)]
    assert sorted(n for part in parts for n, _ in part) == [n for n, _ in Part(limit).of(queries)]


def test_shards_merged_are_one_run(tmp_path: Path) -> None:
    arm, cache = word_arm()
    whole = run_retrieval(toy(), arm, cache, tmp_path / "whole")
    folders = [tmp_path / str(number) for number in (1, 2)]
    for number, folder in enumerate(folders, 1):
        run_retrieval(toy(), arm, cache, folder, part=Part(shard=(number, 2)))
    merged = merge_retrieval_runs(folders[::-1], tmp_path / "merged")
    assert rankings_digest(merged) == rankings_digest(whole)
    assert merged.header == whole.header
    assert load_retrieval_run(tmp_path / "merged") == merged


def test_shards_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    arm, cache = word_arm()
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    run_retrieval(toy(), arm, cache, one, part=Part(shard=(1, 2)))
    words, its_cache = word_arm("bm25")
    run_retrieval(toy(), words, its_cache, other, part=Part(shard=(2, 2)))
    with pytest.raises(UsageError, match="another run"):
        merge_retrieval_runs([one, other], tmp_path / "merged")
    with pytest.raises(UsageError, match="got shards 1/2"):
        merge_retrieval_runs([one], tmp_path / "merged")
    with pytest.raises(KeyboardInterrupt):
        run_retrieval(toy(), Stopping(arm, 1), cache, two, part=Part(shard=(2, 2)))
    with pytest.raises(UsageError, match="finish every shard"):
        merge_retrieval_runs([one, two], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    arm, cache = word_arm()
    run_retrieval(toy(), arm, cache, tmp_path)
    blank = changed(toy(), blank_frames=True)
    with pytest.raises(UsageError, match=r"holds another run .*blank"):
        run_retrieval(blank, arm, cache, tmp_path)
    with pytest.raises(UsageError, match="depth: 100, now 3"):
        run_retrieval(toy(), arm, cache, tmp_path, depth=3)


def test_several_clips_of_one_candidate_are_one_find(tmp_path: Path) -> None:
    plain = toy()
    videos = tuple(RetrievalCandidate(name, name) for name in plain.benchmark.videos)
    queries = (RetrievalQuery("q", "red boat", {"v0": 1}),)
    subject = replace(
        plain,
        benchmark=replace(plain.benchmark, candidates=videos, queries=queries),
        candidates={clip.clip_id: (clip.video_id,) for clip in plain.pool.clips},
    )
    arm, cache = word_arm()
    (record,) = run_retrieval(subject, arm, cache, tmp_path, depth=2).records
    assert record.found[0].candidate_id == "v0"
    assert len({found.candidate_id for found in record.found}) == len(record.found) == 2


def test_a_drawn_world_runs_with_a_reader_of_words(tmp_path: Path) -> None:
    subject = synthetic_subject(DRAWN, {"wording": "search"})
    arm, cache = word_arm("asr")
    run = run_retrieval(subject, arm, cache, tmp_path, part=Part(limit=12))
    assert len(run.records) == run.header.num_queries == 12
    assert all(record.groups["kind"] for record in run.records)


# -- what is taken away ------------------------------------------------------------------------


def hits(subject: Subject, name: str, tmp_path: Path) -> float:
    arm, cache = word_arm(name)
    run = run_retrieval(subject, arm, cache, tmp_path)
    return figures(run.records).report.worst["R@1"]


def seen() -> Subject:
    """The toy's clips, each asked for by the grey of its picture."""
    plain = toy()
    queries = tuple(
        RetrievalQuery(f"q{n}", f"grey{n}", {f"c{n}": 1}, Modality.VIDEO) for n in range(6)
    )
    return replace(plain, benchmark=replace(plain.benchmark, queries=queries))


def test_controls_take_away_what_pictures_tell(tmp_path: Path) -> None:
    assert hits(seen(), "joint", tmp_path / "plain") == 1
    assert hits(changed(seen(), blank_frames=True), "joint", tmp_path / "blank") <= 1 / 6
    assert hits(changed(seen(), shuffle_frames=True), "joint", tmp_path / "shuffled") == 0
    without = changed(seen(), without=[Modality.VIDEO])
    assert hits(without, "video", tmp_path / "removed") == 0


def test_texts_are_found_whatever_becomes_of_pictures(tmp_path: Path) -> None:
    for number, options in enumerate(
        (
            {"blank_frames": True},
            {"shuffle_frames": True},
            {"moved_frames": 0.3},
            {"without": [Modality.VIDEO]},
        )
    ):
        assert hits(changed(toy(), **options), "joint", tmp_path / str(number)) == 1


def test_a_change_is_said_in_the_header(tmp_path: Path) -> None:
    subject = changed(toy(), without=[Modality.OCR, Modality.ASR], shuffle_frames=True, seed=4)
    arm, cache = word_arm()
    header = run_retrieval(subject, arm, cache, tmp_path).header
    assert header.options == {"removed": "asr+ocr", "frames": "shuffled, seed 4"}
    assert header.pool != toy().pool.fingerprint
    assert changed(toy(), moved_frames=0.25).options["frames"] == "moved by 0.25"


# -- figures -----------------------------------------------------------------------------------


def record(
    number: int,
    found: Sequence[tuple[str, float]],
    *,
    gold: str | None = "asr",
    named: str | None = "asr",
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> RankingRecord:
    return RankingRecord(
        number=number,
        query_id=f"q{number}",
        text="x",
        cluster=f"v{number % 3}",
        gold_modality=gold,
        groups=groups or {},
        relevant={"right": 1},
        found=tuple(
            FoundCandidate(candidate_id=name, score=score, modality=named) for name, score in found
        ),
        timing=RankingTiming(latency_seconds=0.1),
    )


def test_figures_by_hand() -> None:
    records = [
        record(0, [("right", 2.0), ("a", 1.0)]),
        record(1, [("a", 2.0), ("right", 1.0)], named="ocr"),
        record(2, []),
        record(3, [("a", 2.0)], gold=None),
    ]
    found = figures(records)
    assert found.report.worst["R@1"] == pytest.approx(1 / 4)
    assert found.report.worst["R@5"] == pytest.approx(2 / 4)
    assert found.report.worst["RR"] == pytest.approx(1.5 / 4)
    assert found.report.worst["nDCG@10"] == pytest.approx((1 + 1 / np.log2(3)) / 4)
    # Of the three with a gold modality one is named rightly; nothing found names none.
    assert found.modality_accuracy == pytest.approx(1 / 3)
    assert found.num_with_modality == 3
    interval = found.intervals["R@1"]
    assert interval.mean == pytest.approx(1 / 4)
    assert interval.low < interval.mean < interval.high
    assert interval.num_clusters == 3


def test_an_arm_that_names_no_modality_has_no_accuracy() -> None:
    assert figures([record(0, [("right", 1.0)], named=None)]).modality_accuracy is None


def test_equal_scores_count_against_the_arm() -> None:
    found = figures([record(0, [("right", 1.0), ("a", 1.0)])]).report
    assert (found.worst["R@1"], found.best["R@1"], found.num_tied) == (0, 1, 1)


def test_a_lead_is_paired_by_query() -> None:
    good = [record(n, [("right", 1.0)]) for n in range(6)]
    bad = [record(n, [("a", 2.0), ("right", 1.0)]) for n in range(6)]
    lead = better_by(good, bad, "R@1")
    assert (lead.mean, lead.low, lead.high) == (1, 1, 1)
    with pytest.raises(ValueError, match="in one run only"):
        better_by(good, bad[1:])


def test_tables_have_every_arm_and_group(tmp_path: Path) -> None:
    runs = []
    for name in ("joint", "bm25", "none"):
        arm, cache = word_arm(name)
        runs.append(run_retrieval(toy(), arm, cache, tmp_path / name))
    text = report_tables(runs)
    for words in ("6 queries over 6 candidates", "| joint |", "| bm25 |", "| none |",
                  "green (2)", "nDCG@10 by colour", "R@1 by colour"):  # fmt: skip
        assert words in text
    best = next(line for line in text.splitlines() if line.startswith("| joint |"))
    assert best.split("|")[2].strip() == "100.0 [100.0, 100.0]"
    widths = [line.count("|") for line in text.split("\n\n")[1].splitlines()]
    assert len(set(widths)) == 1


def test_tables_say_that_a_run_is_unfinished(tmp_path: Path) -> None:
    arm, cache = word_arm()
    with pytest.raises(KeyboardInterrupt):
        run_retrieval(toy(), Stopping(arm, 2), cache, tmp_path)
    assert "Unfinished: 2 of 6" in report_tables([load_retrieval_run(tmp_path)])


# -- the command -------------------------------------------------------------------------------


def run_main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main(words)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_on_a_drawn_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--benchmark", "synthetic", "--num-clips", "4", "--seed", "3", "--split", "dev",
             "--retriever", "mini", "bm25", "oracle", "--tokens-per-clip", "16",
             "--frame-size", "64x36", "--frames", "1")  # fmt: skip
    code, out, _ = run_main(capsys, *words, "--out", str(tmp_path / "whole"))
    assert code == 0
    assert "| oracle | 100.0" in out
    header = json.loads((tmp_path / "whole" / "mini" / "retrieval.json").read_text())
    assert "16 vectors a clip" in header["arm_details"]
    assert header["options"]["frames"] == "1 of 64x36"
    for shard in ("1/2", "2/2"):
        code, _, _ = run_main(
            capsys, *words, "--shard", shard, "--out", str(tmp_path / shard.replace("/", "-"))
        )
        assert code == 0
    shards = [str(tmp_path / name) for name in ("1-2", "2-2")]
    code, _, _ = run_main(capsys, "--merge", *shards, "--out", str(tmp_path / "merged"))
    assert code == 0
    for name in ("mini", "bm25", "oracle"):
        one, two = (load_retrieval_run(tmp_path / of / name) for of in ("whole", "merged"))
        assert rankings_digest(one) == rankings_digest(two)


def test_the_command_on_files(
    rendered: Path, library_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_main(
        capsys, "--benchmark", "synthetic", "--root", str(rendered), "--library",
        str(library_folder), "--retriever", "mini", "--wording", "question", "--limit", "4",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert (code, "error" in err) == (0, False)
    assert "4 queries over 3 candidates (wording question, search all clips)" in out


def test_the_command_on_a_published_layout(
    rendered: Path, library_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["key,vid_key,video_id,sentence"]
    rows += [f"ret{n},msr{n},video{n},something about number {n}" for n in (1, 2)]
    (tmp_path / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(rows) + "\n")
    video = next((rendered / "videos").glob("*.mp4"))
    for path in (video, video.with_suffix(".srt"), video.with_suffix(".info.json")):
        ending = path.name.partition(".")[2]
        (tmp_path / f"video1.{ending}").write_bytes(path.read_bytes())
    code, out, _ = run_main(
        capsys, "--benchmark", "msrvtt", "--root", str(tmp_path), "--option", "split=1k-A",
        "--library", str(library_folder), "--retriever", "mini", "bm25", "none",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 0
    assert "msrvtt 1k-A: 1 queries over 1 candidates" in out
    assert "1 videos are missing; 1 queries that only they answer are left out." in out
    assert "| mini | 100.0 | 100.0 |" in out


BAD = {
    ("--benchmark", "synthetic"): "--retriever",
    ("--retriever", "bm25"): "--benchmark",
    ("--benchmark", "msrvtt", "--retriever", "bm25"): "needs --root",
    ("--benchmark", "synthetic", "--retriever", "bm26"): "bm26",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--shard", "3/2"): "got shard '3/2'",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--limit", "0"): "1 or more",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--option", "a=b"): "--option",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--root", ".", "--hours", "1"): "--hours",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--frame-size", "0x9"): "640x360",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--num-clips", "30", "--hours", "0.02"):
        "got 30 clips",
    ("--benchmark", "msrvtt", "--root", ".", "--retriever", "bm25", "--within-video"):
        "only for synthetic",
    ("--benchmark", "msrvtt", "--root", ".", "--retriever", "bm25", "--option", "x"): "NAME=VALUE",
    ("--benchmark", "synthetic", "--retriever", "audio", "--hours", "0.02"): "does not read",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--device", "cpu"): "--encoder",
    ("--benchmark", "synthetic", "--retriever", "bm25", "--move-frames", "1"): "without 1",
    ("--merge", "nowhere"): "nowhere",
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD.items(), ids=lambda value: str(value)[-40:])
def test_bad_words_are_one_line_and_exit_2(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_main(capsys, *words, "--out", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
