from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from clamr_rag import ClamrError, VideoLibrary
from clamr_rag.config import EncoderOptions, Options
from clamr_rag.errors import EncoderMismatchError, UsageError
from langchain_core._api import LangChainBetaWarning
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumps, loads
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_videos import Lectures

from langchain_clamr import ClamrRetriever
from langchain_clamr.shared import SharedLibrary

CHURN = "Why did churn fall?"


@pytest.fixture
def retriever(lectures: Lectures) -> ClamrRetriever:
    return ClamrRetriever(library=lectures.library)


def ids(docs: list[Document]) -> list[str | None]:
    return [doc.id for doc in docs]


# --- what is found


def test_the_best_clip_is_the_one_that_says_it(retriever: ClamrRetriever) -> None:
    best = retriever.invoke(CHURN)[0]
    assert "speech: (00:21) Churn fell, mostly because of the new onboarding." in best.page_content
    assert best.metadata["start_s"] <= 21 < best.metadata["end_s"]
    assert best.metadata["best_modality"] == "speech"


def test_documents_equal_what_the_library_finds(
    lectures: Lectures, retriever: ClamrRetriever
) -> None:
    with VideoLibrary.open(lectures.library) as library:
        found = library.search(CHURN, top_k=5)
        fingerprint = library.encoder.fingerprint
    docs = retriever.invoke(CHURN)
    assert ids(docs) == [clip.clip.clip_id for clip in found]
    assert [doc.metadata["score"] for doc in docs] == [clip.score for clip in found]
    assert {doc.metadata["model_id"] for doc in docs} == {fingerprint}
    assert len({doc.metadata["index_version"] for doc in docs}) == 1


def test_scores_are_plain_floats_that_fall(retriever: ClamrRetriever) -> None:
    scores = [doc.metadata["score"] for doc in retriever.invoke(CHURN)]
    assert all(type(score) is float and -1 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("query", ["", "   ", "\n\t", "\u200b", "\u200b \ufeff"])
def test_a_blank_query_finds_nothing(retriever: ClamrRetriever, query: str) -> None:
    assert retriever.invoke(query) == []


def test_more_k_than_clips_gives_all_and_changes_nothing(retriever: ClamrRetriever) -> None:
    assert len(set(ids(retriever.invoke(CHURN, k=1000)))) == 5
    assert retriever.k == 5


def test_each_call_gives_documents_of_its_own(retriever: ClamrRetriever) -> None:
    first = retriever.invoke(CHURN)
    kept = first[0].page_content
    first[0].metadata["score"] = "spoilt"
    first[0].page_content = "spoilt"
    again = retriever.invoke(CHURN)
    assert again[0].page_content == kept
    assert type(again[0].metadata["score"]) is float


# --- filters


def test_videos_and_filter_act_before_the_best_are_taken(
    lectures: Lectures, retriever: ClamrRetriever
) -> None:
    assert retriever.invoke(CHURN, k=1)[0].metadata["title"] == "Northwind review"
    by_name = retriever.invoke(CHURN, k=1, videos=["garden.mp4"])
    by_filter = retriever.invoke(CHURN, k=1, filter={"title": "Garden"})
    assert ids(by_name) == ids(by_filter)
    assert by_name[0].metadata["title"] == "Garden"


def test_a_filter_on_time_keeps_only_such_clips(lectures: Lectures) -> None:
    late = ClamrRetriever(library=lectures.library, filter={"start_s": {"$gte": 20}})
    docs = late.invoke(CHURN, k=10)
    assert len(docs) == 3
    assert min(doc.metadata["start_s"] for doc in docs) >= 20


def test_videos_and_filter_together_mean_both(retriever: ClamrRetriever) -> None:
    docs = retriever.invoke(CHURN, videos=["talk.mp4"], filter={"start_s": {"$lt": 20}})
    assert [(doc.metadata["title"], doc.metadata["start_s"]) for doc in docs] == [
        ("Northwind review", 0.0)
    ]


def test_a_filter_that_nothing_passes_finds_nothing(retriever: ClamrRetriever) -> None:
    assert retriever.invoke(CHURN, filter={"title": "Moby Dick"}) == []
    assert retriever.invoke(CHURN, videos=[]) == []


def test_a_filter_sees_videos_added_later(lectures: Lectures, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    only_garden = {"title": "Garden"}
    with VideoLibrary.open(folder) as library:
        library.add(lectures.talk)
        retriever = ClamrRetriever(library=folder, filter=only_garden)
        assert retriever.invoke("water") == []
        library.add(lectures.garden)
        assert retriever.invoke("water")[0].metadata["title"] == "Garden"
        library.remove("garden.mp4")
        assert retriever.invoke("water") == []


# --- LangChain's ways to call


def test_bind_batch_and_chains_pass_k_on(retriever: ClamrRetriever) -> None:
    assert len(retriever.bind(k=2).invoke(CHURN)) == 2
    assert [len(docs) for docs in retriever.batch([CHURN, "water", ""], k=1)] == [1, 1, 0]
    count = retriever | RunnableLambda(len)
    assert count.invoke(CHURN, k=4) == 4


def test_configurable_fields_share_the_opened_library(retriever: ClamrRetriever) -> None:
    flexible = retriever.configurable_fields(k=ConfigurableField(id="k"))
    assert len(flexible.invoke(CHURN, config={"configurable": {"k": 2}})) == 2
    prepared, _ = flexible.prepare({"configurable": {"k": 2}})
    assert isinstance(prepared, ClamrRetriever)
    assert prepared._opened() is retriever._opened()


def test_callbacks_hear_of_the_documents(retriever: ClamrRetriever) -> None:
    class Listener(BaseCallbackHandler):
        heard: list[Document] = []  # noqa: RUF012

        def on_retriever_end(self, documents: Any, **_: Any) -> None:
            self.heard = list(documents)

    listener = Listener()
    docs = retriever.invoke(CHURN, config={"callbacks": [listener]})
    assert listener.heard == docs


def test_documents_survive_dumps_and_loads(retriever: ClamrRetriever) -> None:
    doc = retriever.invoke(CHURN)[0]
    with warnings.catch_warnings(category=LangChainBetaWarning, action="ignore"):
        assert loads(dumps(doc), allowed_objects=[Document]) == doc
    assert all(type(value) in (str, int, float) for value in doc.metadata.values())


# --- one library for many


def test_retrievers_of_one_library_share_it_and_the_last_closes_it(lectures: Lectures) -> None:
    options = Options(encoder=EncoderOptions(query_tokens=40))
    first = ClamrRetriever(library=lectures.library, options=options)
    second = ClamrRetriever(library=lectures.library, options=options, k=1)
    assert first.invoke(CHURN)[:1] == second.invoke(CHURN)
    assert first._opened() is second._opened()
    opened = weakref.ref(first._opened())
    store = first._opened()._library.store
    del first, second
    gc.collect()
    assert opened() is None
    with pytest.raises(ClamrError):
        store.videos()


def test_another_option_is_another_opened_library(retriever: ClamrRetriever) -> None:
    before = retriever._opened()
    retriever.device = "cpu"
    assert retriever._opened() is not before


def test_threads_get_the_same_and_open_once(
    lectures: Lectures, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    whole = VideoLibrary.open.__func__  # type: ignore[attr-defined]

    def count(cls: type[VideoLibrary], *args: Any, **options: Any) -> VideoLibrary:
        opened.append(threading.get_ident())
        return whole(cls, *args, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(VideoLibrary, "open", classmethod(count))
    options = Options(encoder=EncoderOptions(query_tokens=41))
    retriever = ClamrRetriever(library=lectures.library, options=options)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(retriever.invoke, [CHURN] * 16))
    assert all(docs == found[0] for docs in found)
    assert len(opened) == 1


def test_a_pickled_retriever_finds_the_same(retriever: ClamrRetriever) -> None:
    docs = retriever.invoke(CHURN)
    again = pickle.loads(pickle.dumps(retriever))
    assert again == retriever
    assert again.invoke(CHURN) == docs
    assert copy.deepcopy(retriever).invoke(CHURN) == docs


def test_a_pickled_retriever_works_in_another_process(retriever: ClamrRetriever) -> None:
    docs = retriever.invoke(CHURN, k=2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(retriever.invoke, (CHURN,), {"k": 2}) == docs


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_the_library_anew(retriever: ClamrRetriever) -> None:
    inherited = retriever._opened()
    child = os.fork()
    if child == 0:
        os._exit(0 if retriever._opened() is not inherited else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert retriever._opened() is inherited


def test_a_relative_folder_is_fixed_when_it_is_given(
    lectures: Lectures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(lectures.library.parent)
    retriever = ClamrRetriever(library="library")  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    assert len(retriever.invoke(CHURN)) == 5


# --- keyframes


def test_keyframes_come_only_if_asked_for(retriever: ClamrRetriever) -> None:
    assert all("keyframes" not in doc.metadata for doc in retriever.invoke(CHURN))


def test_keyframes_are_files_at_true_times(lectures: Lectures, tmp_path: Path) -> None:
    retriever = ClamrRetriever(
        library=lectures.library, k=2, keyframes=3, keyframe_folder=tmp_path / "pictures"
    )
    docs = retriever.invoke(CHURN)
    for doc in docs:
        keyframes = json.loads(doc.metadata["keyframes"])
        times = [frame["t"] for frame in keyframes]
        assert len(times) == 3
        assert times == sorted(times)
        # The video has 5 frames a second: a true time is a multiple of 0.2 s.
        assert all(abs(t * 5 - round(t * 5)) < 1e-6 for t in times)
        assert all(doc.metadata["start_s"] <= t < doc.metadata["end_s"] for t in times)
        assert all(Path(frame["path"]).read_bytes()[:3] == b"\xff\xd8\xff" for frame in keyframes)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert retriever.invoke(CHURN) == docs
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")} == written


def test_a_clip_whose_video_is_gone_is_found_without_keyframes(
    lectures: Lectures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tmp_path / "talk.mp4"
    shutil.copy(lectures.talk, video)
    with VideoLibrary.open(tmp_path / "library") as library:
        library.add(video)
    video.unlink()
    retriever = ClamrRetriever(
        library=tmp_path / "library", k=1, keyframes=2, keyframe_folder=tmp_path / "pictures"
    )
    doc = retriever.invoke(CHURN)[0]
    assert doc.metadata["keyframes"] == "[]"
    assert "goes without keyframes" in caplog.text


# --- what cannot be used


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "got no library"),
        ({"library": "x", "k": 0}, "got k 0"),
        ({"library": "x", "k": "many"}, "got k 'many'"),
        ({"library": "x", "k": True}, "got k True"),
        ({"library": "x", "top_k": 3}, "got option 'top_k'"),
        ({"library": "x", "videos": "talk.mp4"}, "got videos 'talk.mp4'"),
        ({"library": "x", "filter": {"length": 3}}, "got filter key 'length'"),
        ({"library": "x", "filter": "late"}, "got filter 'late'"),
        ({"library": "x", "keyframes": 2}, "got keyframes 2 without keyframe_folder"),
        ({"library": "x", "keyframes": -1, "keyframe_folder": "y"}, "got keyframes -1"),
        ({"library": "x", "options": {"search": {"top_k": 0}}}, "got options.search.top_k 0"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_clear_line(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ClamrRetriever(**options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "got k 0"),
        ({"k": 2.5}, "got k 2.5"),
        ({"k": True}, "got k True"),
        ({"videos": "talk.mp4"}, "got videos 'talk.mp4'"),
        ({"videos": ["nowhere.mp4"]}, "no video 'nowhere.mp4'"),
        ({"filter": {"start_s": {"$near": 3}}}, "got operator '$near'"),
    ],
)
def test_so_is_one_of_a_call(retriever: ClamrRetriever, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("$", r"\$")):
        retriever.invoke(CHURN, **options)


def test_an_option_is_checked_when_it_is_changed_too(retriever: ClamrRetriever) -> None:
    with pytest.raises(UsageError, match="got k 0"):
        retriever.k = 0
    retriever.k = 2
    assert len(retriever.invoke(CHURN)) == 2


def test_a_folder_without_a_library_is_an_error_and_stays_empty(tmp_path: Path) -> None:
    retriever = ClamrRetriever(library=tmp_path)
    with pytest.raises(UsageError, match="there is no library"):
        retriever.invoke(CHURN)
    assert list(tmp_path.iterdir()) == []


def test_another_encoder_than_the_library_s_is_an_error(lectures: Lectures) -> None:
    options = Options(encoder=EncoderOptions(ocr_tokens=99))
    retriever = ClamrRetriever(library=lectures.library, options=options)
    with pytest.raises(EncoderMismatchError):
        retriever.invoke(CHURN)


def test_importing_loads_no_model_and_no_decoder() -> None:
    heavy = "torch, transformers, av, cv2, chromadb, sqlite3"
    code = (
        "import sys, langchain_clamr; langchain_clamr.ClamrRetriever(library='x')\n"
        f"print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_opened_library_is_no_option() -> None:
    retriever = ClamrRetriever(library="x")  # type: ignore[arg-type]
    assert isinstance(retriever._opened(), SharedLibrary)
    assert "_shared" not in retriever.model_dump()
