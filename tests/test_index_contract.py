"""One suite over every index: the plain reference, exact search, and Chroma's candidates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from library_values import (
    MODALITY_LISTS,
    SEEDS,
    add_video,
    clip_vectors,
    query_vectors,
    small_library,
    video,
)

from clamr_rag.config import SearchOptions
from clamr_rag.errors import UsageError
from clamr_rag.index import ClipIndex, Hit, exact, open_index
from clamr_rag.index.exact import ExactIndex
from clamr_rag.index.fake import FakeIndex
from clamr_rag.index.store import Store
from clamr_rag.scoring import Scorer, modality_max, modality_scores, token_max
from clamr_rag.types import Modality, MultiVector

pytest.importorskip("chromadb")
Maker = Callable[[Store, Scorer], ClipIndex]
SCORERS: list[Scorer] = ["modality_max", "token_max"]


def chroma(store: Store, scorer: Scorer) -> ClipIndex:
    """With more candidates than clips: then it has to agree to the last bit."""
    return open_index(store, SearchOptions(candidates="chroma", scorer=scorer))


def chosen_by_chroma(store: Store, scorer: Scorer) -> ClipIndex:
    """With fewer candidates than clips, so that Chroma has to choose; enough for these tests."""
    options = SearchOptions(candidates="chroma", scorer=scorer, num_candidates=14)
    return open_index(store, options)


MAKERS: list[Maker] = [FakeIndex, ExactIndex, chroma, chosen_by_chroma]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def maker(request: pytest.FixtureRequest) -> Maker:
    made: Maker = request.param
    return made


@pytest.fixture(params=SCORERS)
def scorer(request: pytest.FixtureRequest) -> Scorer:
    name: Scorer = request.param
    return name


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with small_library(tmp_path) as opened:
        yield opened


@pytest.fixture
def index(store: Store, maker: Maker, scorer: Scorer) -> Iterator[ClipIndex]:
    made = maker(store, scorer)
    yield made
    made.close()


def ids(hits: list[Hit]) -> list[str]:
    return [hit.clip_id for hit in hits]


def test_the_best_clips_come_first_with_the_reference_scores(
    store: Store, index: ClipIndex, scorer: Scorer
) -> None:
    query = query_vectors(4, 5)
    hits = index.search(query, top_k=3)
    clips = dict(store.iter_vectors())
    function = {"modality_max": modality_max, "token_max": token_max}[scorer]
    scores = dict(zip(clips, function(query, list(clips.values())), strict=True))
    expected = sorted(clips, key=lambda clip_id: -scores[clip_id])[:3]
    assert ids(hits) == expected
    for hit in hits:
        assert hit.score == scores[hit.clip_id]
        per_modality = modality_scores(query, [clips[hit.clip_id]])[0]
        present = {Modality(m): s for m, s in enumerate(per_modality.tolist()) if s > -np.inf}
        assert hit.modality_scores == present
        assert set(hit.modality_scores) == {1, 2, 3, 4}


def test_a_copied_row_finds_its_clip(store: Store, index: ClipIndex) -> None:
    for clip_id, vectors in list(store.iter_vectors())[::4]:
        query = MultiVector(vectors.vectors[3:5], np.zeros(2, np.uint8), vectors.seconds[3:5])
        (hit,) = index.search(query, top_k=1)
        assert hit.clip_id == clip_id
        assert max(hit.modality_scores, key=lambda m: hit.modality_scores[m]) == Modality.ASR


def test_only_the_wanted_videos_are_searched(index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    everything = index.search(query, top_k=100)
    wanted = [video("a").video_id, video("c").video_id, "unknown"]
    hits = index.search(query, top_k=100, video_ids=wanted)
    assert hits == [hit for hit in everything if hit.clip_id[0] in "ac"]
    assert len(index.search(query, top_k=5, video_ids=wanted[1:])) == 5
    assert index.search(query, top_k=5, video_ids=["unknown"]) == []
    assert index.search(query, top_k=5, video_ids=[]) == []


def test_only_the_wanted_clips_are_searched(index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    everything = index.search(query, top_k=100)
    wanted = ids(everything)[1::3]
    assert index.search(query, top_k=100, clip_ids=[*wanted, "unknown"]) == everything[1::3]
    # Filtered before top-k: the clips that are wanted fill it.
    assert ids(index.search(query, top_k=2, clip_ids=wanted)) == wanted[:2]
    in_a = [clip_id for clip_id in wanted if clip_id[0] == "a"]
    both = index.search(query, top_k=100, clip_ids=wanted, video_ids=[video("a").video_id])
    assert ids(both) == in_a
    assert 0 < len(in_a) < len(wanted)
    assert index.search(query, top_k=5, clip_ids=[]) == []


def test_no_more_than_asked_for(index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    assert index.search(query, top_k=0) == []
    assert ids(index.search(query, top_k=2)) == ids(index.search(query, top_k=5))[:2]


def test_equal_clips_come_in_order_of_their_id(store: Store, index: ClipIndex) -> None:
    same = clip_vectors([1, 1], 77)
    for name in "zyx":
        add_video(store, video(name), [same, same])
    query = MultiVector(same.vectors, np.zeros(2, np.uint8), same.seconds)
    found = ids(index.search(query, top_k=6))
    assert found == sorted(found)
    assert [clip_id[0] for clip_id in found] == ["x", "x", "y", "y", "z", "z"]
    assert ids(index.search(query, top_k=3)) == found[:3]


def test_new_removed_and_replaced_videos(store: Store, index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    target = MultiVector(query.vectors, np.full(3, 1, np.uint8), query.seconds)
    assert index.search(query, top_k=1)[0].score < 0.99
    add_video(store, video("d"), [target])
    assert index.search(query, top_k=1)[0].clip_id.startswith("d")
    add_video(store, video("d"), [clip_vectors([1], 3)], options="other")
    assert index.search(query, top_k=1)[0].score < 0.99
    store.remove_video(video("d").video_id)
    store.remove_video(video("a").video_id)
    found = {clip_id[0] for clip_id in ids(index.search(query, top_k=100))}
    assert found == {"b", "c"}


def test_a_video_that_is_not_finished_is_not_found(store: Store, index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    index.refresh()
    store.begin_video(video("b"), "other options")
    store.fail_video(video("c").video_id, "cannot be read")
    assert {clip_id[0] for clip_id in ids(index.search(query, top_k=100))} == {"a"}


def test_what_another_process_adds_is_found(store: Store, index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    index.refresh()
    with Store.open(store.directory) as other:
        add_video(other, video("e"), [clip_vectors([1], 1)])
    assert "e" in {clip_id[0] for clip_id in ids(index.search(query, top_k=100))}


def test_clips_without_competing_rows_are_never_found(
    tmp_path: Path, maker: Maker, scorer: Scorer
) -> None:
    with Store.open(tmp_path / "odd") as store:
        vectors = [clip_vectors(modalities, 3) for modalities in ([0, 0], [], [4], [0, 1])]
        add_video(store, video("o"), vectors)
        index = maker(store, scorer)
        hits = index.search(query_vectors(2, 2), top_k=10)
        assert sorted(clip_id[-1] for clip_id in ids(hits)) == ["2", "3"]
        index.close()


def test_an_empty_library_finds_nothing(tmp_path: Path, maker: Maker, scorer: Scorer) -> None:
    with Store.open(tmp_path / "empty") as store:
        index = maker(store, scorer)
        assert index.search(query_vectors(2, 2), top_k=3) == []
        add_video(store, video("o"), [])
        assert index.search(query_vectors(2, 2), top_k=3) == []
        index.close()
        index.close()


def test_a_query_that_cannot_be_scored_is_refused(index: ClipIndex) -> None:
    with pytest.raises(ValueError, match="8 and 16"):
        index.search(query_vectors(2, 2, dim=8), top_k=3)
    with pytest.raises(ValueError, match="at least one token"):
        index.search(query_vectors(0, 2), top_k=3)
    assert len(index.search(query_vectors(2, 2), top_k=3)) == 3


def test_an_index_that_was_closed_can_search_again(store: Store, index: ClipIndex) -> None:
    query = query_vectors(2, 2)
    before = index.search(query, top_k=4)
    index.close()
    assert index.search(query, top_k=4) == before


def test_many_threads_search_while_one_writes(store: Store, index: ClipIndex) -> None:
    query = query_vectors(3, 901)
    wanted = [video("b").video_id]
    expected = index.search(query, top_k=3, video_ids=wanted)

    def search(_: int) -> bool:
        return index.search(query, top_k=3, video_ids=wanted) == expected

    with ThreadPoolExecutor(3) as pool:
        results = pool.map(search, range(30))
        for name in "xyz":
            add_video(store, video(name), [clip_vectors([1, 2], 1)])
        store.remove_video(video("a").video_id)
        assert all(results)
    assert index.search(query, top_k=3, video_ids=wanted) == expected


# --- exact search is exact


@given(
    st.lists(st.lists(MODALITY_LISTS, max_size=4), max_size=4),
    SEEDS,
    st.integers(1, 8),
    st.sampled_from(SCORERS),
    st.sampled_from([1, 2, 100]),
    st.sampled_from(["int8", "fp16"]),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_exact_search_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory,
    videos: list[list[list[int]]],
    seed: int,
    top_k: int,
    scorer: Scorer,
    clips_per_thread: int,
    codec: str,
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        Store.open(tmp_path_factory.mktemp("library")) as store,
    ):
        patch.setattr(exact, "CLIPS_PER_THREAD", clips_per_thread)
        for number, clips in enumerate(videos):
            # Every second clip is one that was there before: ties across videos and threads.
            seeds = [seed + n // 2 for n in range(len(clips))]
            vectors = [clip_vectors(clip, s) for clip, s in zip(clips, seeds, strict=True)]
            owner = replace(video("v"), video_id=f"{number:064d}")
            add_video(store, owner, vectors, codec=codec if number % 2 else "int8")
        query = query_vectors(3, seed)
        index, reference = ExactIndex(store, scorer), FakeIndex(store, scorer)
        assert index.search(query, top_k=top_k) == reference.search(query, top_k=top_k)
        wanted = {f"{number:064d}" for number in (0, 2, 3)}
        assert index.search(query, top_k=top_k, video_ids=wanted) == reference.search(
            query, top_k=top_k, video_ids=wanted
        )


def test_only_changed_videos_are_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ExactIndex(store)
    index.refresh()
    read: list[str] = []
    original = store.stored_vectors
    monkeypatch.setattr(
        store,
        "stored_vectors",
        lambda record: (read.append(record.video.title), original(record))[1],
    )
    add_video(store, video("d"), [clip_vectors([1], 1)])
    index.refresh()
    index.refresh()
    assert read == ["The d"]
    assert index.num_clips == 16


# --- what the options choose


def test_the_options_name_the_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_index(store, SearchOptions()), ExactIndex)
    monkeypatch.setitem(sys.modules, "chromadb", None)
    index = open_index(store, SearchOptions(candidates="chroma"))
    with pytest.raises(UsageError, match=r"pip install 'clamr-rag\[chroma\]'"):
        index.search(query_vectors(1, 1), top_k=1)


def test_exact_search_loads_no_chroma_scipy_or_torch(store: Store) -> None:
    code = (
        "import sys; from clamr_rag.index.exact import ExactIndex;"
        "from clamr_rag.index.store import Store;"
        f"ExactIndex(Store.open({str(store.directory)!r})).refresh();"
        "print({'chromadb', 'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
