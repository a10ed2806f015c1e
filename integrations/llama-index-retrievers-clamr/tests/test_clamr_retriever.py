"""The retriever's contract (R), what it does to an event loop (A), and what can be observed (O)."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llama_index.core.instrumentation as instrument
import pytest
from clamr_rag import VideoLibrary
from clamr_rag.config import Options
from clamr_rag.errors import MediaError, UsageError
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.retrieval import (
    RetrievalEndEvent,
    RetrievalStartEvent,
)
from llama_index.core.instrumentation.events.span import SpanDropEvent
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from pydantic import PrivateAttr

from llama_index.retrievers.clamr import (
    ClamrRetriever,
    ClipScoresEvent,
    LibraryBackend,
    Opening,
    VideoClipNode,
    cited_query_engine,
)

QUESTION = "Why did churn fall?"


def ids(hits: list[NodeWithScore]) -> list[tuple[str, float | None]]:
    return [(hit.node.node_id, hit.score) for hit in hits]


# --- R: the retriever's contract


def test_R1_is_a_retriever() -> None:
    assert BaseRetriever.__name__ in [each.__name__ for each in ClamrRetriever.__mro__]


def test_R2_async_equals_sync(retriever: ClamrRetriever) -> None:
    assert ids(asyncio.run(retriever.aretrieve(QUESTION))) == ids(retriever.retrieve(QUESTION))


def test_R3_string_bundle_and_blanks_around_are_the_same(retriever: ClamrRetriever) -> None:
    expected = ids(retriever.retrieve(QUESTION))
    assert len(expected) == 3
    assert ids(retriever.retrieve(QueryBundle(QUESTION))) == expected
    assert ids(retriever.retrieve(f"  {QUESTION} \n")) == expected


@pytest.mark.parametrize("blank", ["", " \n\t "])
def test_R4_blank_query_finds_nothing(retriever: ClamrRetriever, llm: Any, blank: str) -> None:
    assert retriever.retrieve(blank) == []
    engine = RetrieverQueryEngine.from_args(retriever, llm=llm)
    assert str(engine.query(blank)) == "Empty Response"


def test_R5_scores_are_descending_cosines(retriever: ClamrRetriever) -> None:
    hits = retriever.with_settings(similarity_top_k=100).retrieve(QUESTION)
    scores = [hit.score for hit in hits]
    assert all(type(score) is float and math.isfinite(score) for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    assert "Churn fell" in hits[0].node.get_content()


def test_R6_calls_share_no_object(retriever: ClamrRetriever) -> None:
    first, second = retriever.retrieve(QUESTION), retriever.retrieve(QUESTION)
    before = [hit.model_dump() for hit in second]
    assert not {id(hit) for hit in first} & {id(hit) for hit in second}
    assert not {id(hit.node) for hit in first} & {id(hit.node) for hit in second}
    for hit in first:
        hit.score = -7.0
        hit.node.metadata["title"] = "changed"
        hit.node.relationships.clear()
    assert [hit.model_dump() for hit in second] == before
    assert [hit.model_dump() for hit in retriever.retrieve(QUESTION)] == before


@pytest.mark.parametrize("top_k", [0, 1, 8, 80])
def test_R7_top_k_larger_than_corpus(backend: LibraryBackend, top_k: int) -> None:
    retriever = ClamrRetriever(backend, similarity_top_k=top_k)
    assert len(retriever.retrieve(QUESTION)) == min(top_k, 8)
    assert retriever.similarity_top_k == top_k


def test_R7_negative_numbers_are_refused(backend: LibraryBackend) -> None:
    with pytest.raises(UsageError, match="0 or more"):
        ClamrRetriever(backend, similarity_top_k=-1)
    with pytest.raises(UsageError, match="0 or more"):
        ClamrRetriever(backend, max_keyframes=-1)
    with pytest.raises(UsageError, match="multimodal"):
        ClamrRetriever(backend, node_format="video")  # type: ignore[arg-type]


def filtered(retriever: ClamrRetriever, *filters: Any, **settings: Any) -> list[NodeWithScore]:
    condition = settings.pop("condition", FilterCondition.AND)
    wanted = MetadataFilters(filters=list(filters), condition=condition)
    return retriever.with_settings(filters=wanted, **settings).retrieve(QUESTION)


def video_id(retriever: ClamrRetriever, name: str) -> str:
    with retriever.backend.using() as library:
        return library.find(name).video.video_id


def test_R8_filters_restrict_before_top_k(retriever: ClamrRetriever) -> None:
    kitchen = video_id(retriever, "kitchen.mp4")
    only = MetadataFilter(key="video_id", value=[kitchen], operator=FilterOperator.IN)
    # The question is about another video: its clips fill the top ranks unless filtered first.
    assert kitchen not in {hit.node.ref_doc_id for hit in retriever.retrieve(QUESTION)[:1]}
    found = filtered(retriever, only, similarity_top_k=3)
    assert [hit.node.ref_doc_id for hit in found] == [kitchen] * 3

    late = MetadataFilter(key="start_s", value=8, operator=FilterOperator.GTE)
    both = filtered(retriever, only, late, similarity_top_k=10)
    assert sorted(hit.node.metadata["start_s"] for hit in both) == [8.0, 16.0]


def test_R8_filter_that_matches_nothing(retriever: ClamrRetriever) -> None:
    assert filtered(retriever, MetadataFilter(key="video_id", value="nobody")) == []


def test_R8_conditions_and_nesting(retriever: ClamrRetriever) -> None:
    kitchen = MetadataFilter(key="video_id", value=video_id(retriever, "kitchen.mp4"))
    start = MetadataFilter(key="start_s", value=0.0)
    not_kitchen = MetadataFilters(filters=[kitchen], condition=FilterCondition.NOT)
    everything = retriever.with_settings(similarity_top_k=10)
    assert len(filtered(everything, kitchen, start, condition=FilterCondition.OR)) == 5
    assert len(filtered(everything, kitchen, start, condition=FilterCondition.NOT)) == 3
    assert len(filtered(everything, not_kitchen, start)) == 2
    assert len(filtered(everything)) == 8


def test_R9_pickle_and_deepcopy_find_the_same(retriever: ClamrRetriever) -> None:
    asyncio.run(retriever.aretrieve(QUESTION))  # a thread and a lock exist now
    expected = ids(retriever.retrieve(QUESTION))
    thawed = pickle.loads(pickle.dumps(retriever))
    assert ids(thawed.retrieve(QUESTION)) == expected
    thawed.close()
    twin = copy.deepcopy(retriever)
    assert ids(twin.retrieve(QUESTION)) == expected
    assert twin.backend is retriever.backend


def test_R9_pickle_never_makes_a_library(tmp_path: Path) -> None:
    made = ClamrRetriever.from_defaults(tmp_path / "library")
    assert made.retrieve(QUESTION) == []
    frozen = pickle.dumps(made)
    made.close()
    shutil.rmtree(tmp_path / "library")
    with pytest.raises(UsageError, match="no library"):
        pickle.loads(frozen).retrieve(QUESTION)


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_R10_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, llama_index.retrievers.clamr;"
        "print([m for m in ('torch', 'transformers', 'av', 'cv2', 'onnxruntime', 'chromadb')"
        " if m in sys.modules])"
    )
    assert run_python(code).strip() == "[]"


def test_R11_persisted_folder_may_be_moved(
    corpus: Any, retriever: ClamrRetriever, tmp_path: Path
) -> None:
    expected = ids(retriever.retrieve(QUESTION))
    retriever.persist(tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "moved")
    again = ClamrRetriever.from_persist_dir(tmp_path / "moved")
    found = again.retrieve(QUESTION)
    assert ids(found) == expected
    assert again.similarity_top_k == 3
    paths = [frame.path for hit in found for frame in hit.node.keyframes]
    assert len(paths) == 6
    assert all(path.is_relative_to(tmp_path / "moved") and path.is_file() for path in paths)
    again.close()


def test_R11_persisted_folder_needs_no_video(tmp_path: Path, corpus: Any) -> None:
    video = tmp_path / "sky.mp4"
    shutil.copy(corpus.folder / "stars/sky.mp4", video)
    made = ClamrRetriever.from_defaults(tmp_path / "library", videos=video, max_keyframes=3)
    made.persist(tmp_path / "copy")
    made.close()
    video.unlink()
    shutil.rmtree(tmp_path / "library")
    again = ClamrRetriever.from_persist_dir(tmp_path / "copy")
    frames = [frame for hit in again.retrieve("Saturn") for frame in hit.node.keyframes]
    assert len(frames) == 3
    assert all(frame.path.is_file() for frame in frames)
    again.close()


def test_R11_settings_are_persisted_and_overridden(
    retriever: ClamrRetriever, tmp_path: Path
) -> None:
    nested = MetadataFilters(
        filters=[
            MetadataFilter(key="start_s", value=8.0, operator=FilterOperator.GTE),
            MetadataFilters(filters=[MetadataFilter(key="title", value="Night sky")]),
        ]
    )
    retriever.with_settings(filters=nested, max_keyframes=1).persist(tmp_path)
    retriever.with_settings(filters=nested, max_keyframes=1).persist(tmp_path)  # again is fine
    again = ClamrRetriever.from_persist_dir(tmp_path)
    assert (again.max_keyframes, again.filters) == (1, nested)
    assert again.backend.opening.options == retriever.backend.opening.options
    assert [hit.node.metadata["start_s"] for hit in again.retrieve(QUESTION)] == [8.0]
    again.close()
    other = ClamrRetriever.from_persist_dir(tmp_path, filters=None, similarity_top_k=8)
    assert len(other.retrieve(QUESTION)) == 8
    other.close()


def test_R11_persist_never_overwrites_another_library(
    retriever: ClamrRetriever, tmp_path: Path
) -> None:
    VideoLibrary.open(tmp_path).close()
    with pytest.raises(UsageError, match="another library"):
        retriever.persist(tmp_path)


def test_R11_persist_dir_without_library(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no library"):
        ClamrRetriever.from_persist_dir(tmp_path / "nothing")


def test_R12_two_processes_give_identical_ids(corpus: Any, retriever: ClamrRetriever) -> None:
    code = (
        "import sys, json; from llama_index.retrievers.clamr import ClamrRetriever;"
        "r = ClamrRetriever(sys.argv[1], similarity_top_k=3);"
        "print(json.dumps([(h.node.node_id, h.node.hash) for h in r.retrieve(sys.argv[2])]))"
    )
    here = [[hit.node.node_id, hit.node.hash] for hit in retriever.retrieve(QUESTION)]
    assert json.loads(run_python(code, str(corpus.library), QUESTION)) == here


def test_R12_pickle_gives_identical_ids_elsewhere(
    retriever: ClamrRetriever, tmp_path: Path
) -> None:
    (tmp_path / "retriever").write_bytes(pickle.dumps(retriever))
    code = (
        "import sys, json, asyncio, pickle, pathlib;"
        "r = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "found = asyncio.run(r.aretrieve(sys.argv[2]));"
        "print(json.dumps([(h.node.node_id, h.score) for h in found]))"
    )
    there = json.loads(run_python(code, str(tmp_path / "retriever"), QUESTION))
    assert there == [list(each) for each in ids(retriever.retrieve(QUESTION))]


def test_R13_prompts(retriever: ClamrRetriever) -> None:
    assert retriever.get_prompts() == {}
    retriever.update_prompts({})


def test_R14_async_parameter_is_called_query_bundle() -> None:
    assert "query_bundle" in inspect.signature(ClamrRetriever._aretrieve).parameters
    assert "query_bundle" in inspect.signature(ClamrRetriever._retrieve).parameters


def test_query_strings_to_embed_are_honoured(retriever: ClamrRetriever) -> None:
    """HyDE: the strings to embed replace the question; a clip counts with its best score."""
    bundle = QueryBundle(
        "tell me", custom_embedding_strs=["the rings of Saturn are ice", "knead the dough", " "]
    )
    hits = retriever.with_settings(similarity_top_k=2).retrieve(bundle)
    assert {hit.node.metadata["title"] for hit in hits} == {"Night sky", "Baking bread"}
    single = {
        hit.node.node_id: hit.score
        for text in bundle.embedding_strs[:2]
        for hit in retriever.with_settings(similarity_top_k=1).retrieve(text)
    }
    assert {hit.node.node_id: hit.score for hit in hits} == single


def test_picture_queries_are_refused(retriever: ClamrRetriever) -> None:
    with pytest.raises(NotImplementedError, match="image_path"):
        retriever.retrieve(QueryBundle(QUESTION, image_path="cat.jpg"))


def test_explain_says_what_each_token_points_at(retriever: ClamrRetriever) -> None:
    found = retriever.explain(QUESTION, top_k=2)
    assert [each.clip.clip_id for each in found] == [
        hit.node.node_id for hit in retriever.retrieve(QUESTION)[:2]
    ]
    assert found[0].best_modality.label == "speech"
    assert any(each.text and "Churn" in each.text for each in found[0].evidence)


def test_folder_of_videos_is_indexed_once(corpus: Any, backend: LibraryBackend) -> None:
    again = ClamrRetriever.from_defaults(backend, videos=[corpus.folder, corpus.folder])
    assert len(again.nodes()) == corpus.num_clips
    assert {node.metadata["title"] for node in again.nodes()} == {
        "Northwind review",
        "Baking bread",
        "Night sky",
    }


def test_folder_without_videos_is_an_error(tmp_path: Path, backend: LibraryBackend) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(UsageError, match="no video in"):
        ClamrRetriever.from_defaults(backend, videos=tmp_path)
    with pytest.raises(MediaError, match="no such file"):
        ClamrRetriever.from_defaults(backend, videos=tmp_path / "gone.mp4")


def test_open_library_is_shared(corpus: Any, backend: LibraryBackend) -> None:
    with backend.using() as library:
        retriever = ClamrRetriever(library, similarity_top_k=1)
    assert "Churn" in retriever.retrieve(QUESTION)[0].node.get_content()
    with pytest.raises(UsageError, match="open library"):
        LibraryBackend.over(library, encoder="mini")
    thawed = pickle.loads(pickle.dumps(retriever))
    assert ids(thawed.retrieve(QUESTION)) == ids(retriever.retrieve(QUESTION))
    thawed.close()


def test_unknown_setting_is_refused(retriever: ClamrRetriever) -> None:
    with pytest.raises(UsageError, match="max_keyframes"):
        retriever.with_settings(top_k=3)


def test_library_that_grows_is_followed(corpus: Any, tmp_path: Path) -> None:
    late = MetadataFilters(filters=[MetadataFilter(key="title", value="Night sky")])
    retriever = ClamrRetriever.from_defaults(
        tmp_path / "library", videos=corpus.folder / "kitchen.mp4", filters=late
    )
    assert retriever.retrieve("Saturn") == []
    with VideoLibrary.open(tmp_path / "library") as other:
        other.add(corpus.folder / "stars/sky.mp4")
    assert len(retriever.retrieve("Saturn")) == 1
    with VideoLibrary.open(tmp_path / "library") as other:
        pictures = list((tmp_path / "library").rglob("keyframe-*.jpg"))
        other.remove("sky.mp4")
    assert retriever.retrieve("Saturn") == []
    assert pictures
    assert not any(picture.exists() for picture in pictures)
    retriever.close()


# --- A: async


def test_A1_two_event_loops_in_turn(retriever: ClamrRetriever) -> None:
    first = asyncio.run(retriever.aretrieve(QUESTION))
    assert ids(asyncio.run(retriever.aretrieve(QUESTION))) == ids(first)


async def ticks_during(work: Callable[[], Any]) -> int:
    """How often a 10 ms ticker ticks while the work is done."""
    count = 0

    async def tick() -> None:
        nonlocal count
        while True:
            await asyncio.sleep(0.01)
            count += 1

    ticker = asyncio.create_task(tick())
    await work()
    ticker.cancel()
    return count


def test_A2_event_loop_goes_on(slow_backend: Any) -> None:
    retriever = ClamrRetriever(slow_backend)

    async def three() -> None:
        await asyncio.gather(*(retriever.aretrieve(QUESTION) for _ in range(3)))

    assert asyncio.run(ticks_during(three)) >= 10


@pytest.mark.parametrize("multimodal", [False, True])
def test_A2_eight_answers_at_once(slow_backend: Any, llm: Any, multimodal: bool) -> None:
    """`bench_async.py` measures how long the loop is held up; this only sees that it goes on."""
    slow_backend.delay_seconds = 0.1
    engine = cited_query_engine(ClamrRetriever(slow_backend), llm, multimodal=multimodal)

    async def eight() -> None:
        answers = await asyncio.gather(*(engine.aquery(QUESTION) for _ in range(8)))
        assert {str(answer) for answer in answers} == {llm.reply}

    assert asyncio.run(ticks_during(eight)) >= 20


def test_A3_one_call_at_a_time(slow_backend: Any, llm: Any) -> None:
    slow_backend.delay_seconds = 0.05
    retriever = ClamrRetriever(slow_backend, similarity_top_k=2)
    llm.reply = "churn\nonboarding\nsubscribers"
    fusion = QueryFusionRetriever([retriever], llm=llm, num_queries=4, use_async=True)

    async def both() -> None:
        mixed = [asyncio.to_thread(retriever.retrieve, QUESTION) for _ in range(2)]
        await asyncio.gather(fusion.aretrieve(QUESTION), *mixed)

    asyncio.run(both())
    assert slow_backend.searches == 6
    assert slow_backend.most_in_flight == 1
    fusion.retrieve(QUESTION)
    assert slow_backend.searches == 10
    assert slow_backend.most_in_flight == 1


def test_A4_cancelled_call_leaves_the_next_working(slow_backend: Any) -> None:
    retriever = ClamrRetriever(slow_backend)

    async def impatient() -> list[NodeWithScore]:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(retriever.aretrieve(QUESTION), 0.05)
        return await retriever.aretrieve(QUESTION)

    assert len(asyncio.run(impatient())) == 5


# --- O: observability


class Notes(BaseEventHandler):
    """Keeps every event."""

    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Notes"

    @property
    def events(self) -> list[BaseEvent]:
        return self._events

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self._events.append(event)

    def of(self, kind: type[BaseEvent]) -> list[Any]:
        return [event for event in self._events if isinstance(event, kind)]


@pytest.fixture
def notes() -> Iterator[Notes]:
    handler, root = Notes(), instrument.get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    handler, root = SimpleSpanHandler(), instrument.get_dispatcher()
    root.add_span_handler(handler)
    yield handler
    root.span_handlers.remove(handler)


def test_O1_one_start_and_one_end(retriever: ClamrRetriever, notes: Notes) -> None:
    hits = retriever.retrieve(QUESTION)
    (start,), (end,) = notes.of(RetrievalStartEvent), notes.of(RetrievalEndEvent)
    assert start.str_or_query_bundle == QUESTION
    assert ids(end.nodes) == ids(hits)
    asyncio.run(retriever.aretrieve(QUESTION))
    assert (len(notes.of(RetrievalStartEvent)), len(notes.of(RetrievalEndEvent))) == (2, 2)


class Broken(LibraryBackend):
    def search(self, *arguments: Any) -> Any:
        raise MediaError("the disk is gone")


def test_O1_error_keeps_its_type_and_drops_the_span(corpus: Any, notes: Notes) -> None:
    retriever = ClamrRetriever(Broken(Opening(corpus.library)))
    with pytest.raises(MediaError, match="disk is gone"):
        retriever.retrieve(QUESTION)
    assert notes.of(SpanDropEvent)
    with pytest.raises(MediaError, match="disk is gone"):
        asyncio.run(retriever.aretrieve(QUESTION))
    assert not notes.of(RetrievalEndEvent)


def test_O2_spans_and_tags_cross_the_thread(
    retriever: ClamrRetriever, notes: Notes, spans: SimpleSpanHandler
) -> None:
    with instrument_tags({"user": "ada"}):
        hits = asyncio.run(retriever.aretrieve(QUESTION))
    inner = named(spans.completed_spans, "ClamrRetriever._retrieve")
    outer = named(spans.completed_spans, "aretrieve")
    assert inner.parent_id == outer.id_
    (event,) = notes.of(ClipScoresEvent)
    assert event.tags == {"user": "ada"}
    assert [(each.clip_id, each.score) for each in event.scores] == ids(hits)
    assert {"speech", "on screen"} <= event.scores[0].modality_scores.keys()
    assert event.scores[0].best_modality == "speech"
    assert event.query == QUESTION


def named(completed: list[SimpleSpan], part: str) -> SimpleSpan:
    (found,) = [span for span in completed if span.id_.partition("-")[0].endswith(part)]
    return found


def test_O2_scores_stay_out_of_nodes(retriever: ClamrRetriever) -> None:
    by_question = [
        {hit.node.node_id: hit.node.hash for hit in all_hits}
        for question in (QUESTION, "How long is the dough kneaded?")
        for all_hits in [retriever.with_settings(similarity_top_k=8).retrieve(question)]
    ]
    assert by_question[0] == by_question[1]


def test_O3_end_event_is_small(retriever: ClamrRetriever, notes: Notes) -> None:
    retriever.with_settings(similarity_top_k=5).retrieve(QUESTION)
    (end,) = notes.of(RetrievalEndEvent)
    assert len(end.nodes) == 5
    assert len(end.model_dump_json()) < 20_000


def test_O4_callback_manager_sees_one_retrieval(backend: LibraryBackend) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    retriever = ClamrRetriever(backend, callback_manager=CallbackManager([handler]))
    retriever.retrieve(QUESTION)
    ((_, _),) = handler.get_event_pairs(CBEventType.RETRIEVE)


def test_verbose_prints_what_is_found(
    retriever: ClamrRetriever, capsys: pytest.CaptureFixture[str]
) -> None:
    retriever.retrieve(QUESTION)
    assert capsys.readouterr().out == ""
    retriever.with_settings(verbose=True, similarity_top_k=1).retrieve(QUESTION)
    assert "Northwind review" in capsys.readouterr().out


def test_options_default_to_those_of_clamr_rag(tmp_path: Path) -> None:
    assert ClamrRetriever(tmp_path).backend.opening.options == Options()
    assert VideoClipNode.class_name() == "TextNode"
