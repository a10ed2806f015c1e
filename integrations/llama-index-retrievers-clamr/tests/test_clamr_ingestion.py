"""Videos in LlamaIndex's ingestion: the reader and the transform to clips (I)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from clamr_rag.errors import MediaError, UsageError
from fsspec.implementations.memory import MemoryFileSystem
from llama_index.core import SimpleDirectoryReader
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from llama_index.retrievers.clamr import (
    ClamrClipParser,
    ClamrRetriever,
    ClamrVideoReader,
    ClipUpgradePostprocessor,
    LibraryBackend,
    VideoClipNode,
)


@pytest.fixture
def reader(backend: LibraryBackend) -> ClamrVideoReader:
    return ClamrVideoReader(backend)


@pytest.fixture
def documents(reader: ClamrVideoReader, corpus: Any) -> list[Document]:
    files = sorted(corpus.folder.rglob("*.mp4"))
    return [document for file in files for document in reader.load_data(file)]


def test_I1_directory_reader(reader: ClamrVideoReader, corpus: Any) -> None:
    assert isinstance(reader, BaseReader)
    directory = SimpleDirectoryReader(
        corpus.folder, recursive=True, file_extractor={".mp4": reader}, raise_on_error=True
    )
    documents = directory.load_data()
    assert {each.metadata["title"] for each in documents} == {
        "Northwind review",
        "Baking bread",
        "Night sky",
    }
    assert all(each.metadata["file_name"].endswith(".mp4") for each in documents)
    (review,) = [each for each in documents if "Northwind" in each.text]
    assert "(00:09) speech: Churn fell because of the new onboarding." in review.text
    assert "ocr: " in review.text
    assert str(corpus.folder) not in review.get_content("llm")  # type: ignore[arg-type]


def test_I1_what_cannot_be_read(reader: ClamrVideoReader, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(MediaError):
        reader.load_data(tmp_path / "broken.mp4")
    with pytest.raises(UsageError, match="local file system"):
        reader.load_data("movie.mp4", fs=MemoryFileSystem())


def test_I1_reader_makes_its_library(tmp_path: Path, corpus: Any) -> None:
    reader = ClamrVideoReader(tmp_path / "library")
    (document,) = reader.load_data(corpus.folder / "kitchen.mp4", extra_info={"course": "3"})
    assert document.metadata["course"] == "3"
    found = ClamrRetriever(reader.backend).retrieve("dough")
    assert {hit.node.ref_doc_id for hit in found} == {document.id_}
    reader.backend.close()


def test_I2_cache_never_gives_another_videos_clips(
    documents: list[Document], backend: LibraryBackend
) -> None:
    assert all(each.metadata["video_id"] in each.text for each in documents)
    pipeline = IngestionPipeline(transformations=[ClamrClipParser(backend)])
    for document in documents:
        nodes = pipeline.run(documents=[document])
        assert {node.metadata["video_id"] for node in nodes} == {document.id_}
        again = pipeline.run(documents=[document])  # from the cache
        assert [node.node_id for node in again] == [node.node_id for node in nodes]


def test_I2_cached_clips_can_be_made_whole(
    documents: list[Document], backend: LibraryBackend
) -> None:
    from llama_index.core.schema import NodeWithScore

    pipeline = IngestionPipeline(transformations=[ClamrClipParser(backend)])
    fresh = pipeline.run(documents=documents[:1])
    cached = pipeline.run(documents=documents[:1])
    hits = [NodeWithScore(node=node) for node in cached]
    whole = [hit.node for hit in ClipUpgradePostprocessor().postprocess_nodes(hits)]
    assert whole == fresh
    assert all(isinstance(node, VideoClipNode) for node in whole)


def test_I3_reencoded_file_is_another_document(corpus: Any, tmp_path: Path) -> None:
    reader = ClamrVideoReader(tmp_path / "library")
    video = tmp_path / "video.mp4"
    shutil.copy(corpus.folder / "kitchen.mp4", video)
    (before,) = reader.load_data(video)
    (same,) = reader.load_data(video)
    assert same.hash == before.hash
    with video.open("ab") as file:
        # A free atom: the same pictures, but not the same file.
        file.write((8).to_bytes(4, "big") + b"free")
    (after,) = reader.load_data(video)
    assert after.hash != before.hash
    assert after.id_ != before.id_
    reader.backend.close()


def test_I4_transform_says_what_it_is(backend: LibraryBackend) -> None:
    parser = ClamrClipParser(backend, max_keyframes=1)
    assert parser.to_dict() == {
        "library": str(backend.opening.folder),
        "max_keyframes": 1,
        "class_name": "ClamrClipParser",
    }


def test_I5_docstore_holds_the_documents(
    documents: list[Document], backend: LibraryBackend, corpus: Any
) -> None:
    store = SimpleDocumentStore()
    pipeline = IngestionPipeline(
        transformations=[ClamrClipParser(backend)], docstore=store, disable_cache=True
    )
    with pytest.warns(UserWarning, match="duplicates_only"):
        assert len(pipeline.run(documents=documents)) == corpus.num_clips
    with pytest.warns(UserWarning, match="duplicates_only"):
        assert pipeline.run(documents=documents) == []
    assert set(store.docs) == {each.id_ for each in documents}


def test_I6_filename_as_id_replaces_ours(reader: ClamrVideoReader, corpus: Any) -> None:
    directory = SimpleDirectoryReader(
        input_files=[corpus.folder / "kitchen.mp4"],
        file_extractor={".mp4": reader},
        filename_as_id=True,
        raise_on_error=True,
    )
    (document,) = directory.load_data()
    assert document.id_.endswith("kitchen.mp4_part_0")
    # The parser goes by the metadata, and does not care.
    nodes = ClamrClipParser(reader.backend)([document])
    assert {node.ref_doc_id for node in nodes} == {document.metadata["video_id"]}


def test_I7_splitter_before_the_parser_gives_each_clip_once(
    documents: list[Document], backend: LibraryBackend, corpus: Any
) -> None:
    pieces = SentenceSplitter(chunk_size=60, chunk_overlap=0)(documents)
    assert len(pieces) > len(documents)
    assert all(type(piece) is TextNode for piece in pieces)
    clips = ClamrClipParser(backend)(pieces)
    assert len(clips) == len({clip.node_id for clip in clips}) == corpus.num_clips


def test_parser_lets_other_nodes_pass(backend: LibraryBackend) -> None:
    other = TextNode(text="a page")
    assert ClamrClipParser(backend)([other]) == [other]
