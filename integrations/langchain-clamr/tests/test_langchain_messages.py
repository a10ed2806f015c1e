from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from clamr_rag import VideoLibrary
from clamr_rag.errors import UsageError
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, convert_to_openai_messages
from langchain_videos import SECONDS_PER_SLIDE, Lectures
from PIL import Image
from test_langchain_documents import found

from langchain_clamr import ClamrRetriever, documents_to_content_blocks
from langchain_clamr.pictures import MAX_SIDE, KeyframeFolder, jpeg

CHURN = "Why did churn fall?"


@pytest.fixture
def docs(lectures: Lectures) -> list[Document]:
    return ClamrRetriever(library=lectures.library, k=3, videos=("talk.mp4",)).invoke(CHURN)


def picture(block: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(block["base64"])))


def seconds_said(blocks: list[Any]) -> list[float]:
    """The times of the pictures, as a model reads them."""
    said = [
        re.match(r"Frame at (\d+):(\d+):([\d.]+) of ", block.get("text", "")) for block in blocks
    ]
    return [int(m[1]) * 3600 + int(m[2]) * 60 + float(m[3]) for m in said if m]


def test_each_clip_is_text_then_pictures_behind_their_times(docs: list[Document]) -> None:
    blocks = documents_to_content_blocks(docs, max_keyframes=2)
    kinds = [block["type"] for block in blocks]
    assert kinds == ["text", "text", "image", "text", "image"] * 3
    assert [block["text"] for block in blocks[::5]] == [doc.page_content for doc in docs]  # type: ignore[typeddict-item]


def test_times_said_are_those_of_the_pictures(docs: list[Document], lectures: Lectures) -> None:
    from clamr_rag.media import iter_frames

    blocks = documents_to_content_blocks(docs, max_keyframes=3)
    said = seconds_said(blocks)
    assert len(said) == 9
    pictures = [picture(block) for block in blocks if block["type"] == "image"]
    for seconds, shown in zip(said, pictures, strict=True):
        (frame,) = iter_frames(lectures.talk, [seconds])
        assert abs(frame.seconds - seconds) <= 0.006
        # JPEG is not exact, but another slide would be far off.
        expected = Image.fromarray(frame.pixels)
        assert _difference(shown, expected) < 3
        other = (seconds + SECONDS_PER_SLIDE) % (3 * SECONDS_PER_SLIDE)
        (wrong,) = iter_frames(lectures.talk, [other])
        assert _difference(shown, Image.fromarray(wrong.pixels)) > _difference(shown, expected)


def _difference(one: Image.Image, other: Image.Image) -> float:
    import numpy as np

    difference = np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32))
    return float(difference.mean())


def test_no_pictures_when_none_are_wanted(docs: list[Document]) -> None:
    blocks = documents_to_content_blocks(docs, max_keyframes=0)
    assert [block["type"] for block in blocks] == ["text"] * 3
    assert documents_to_content_blocks([], max_keyframes=2) == []


def test_a_count_below_none_is_an_error(docs: list[Document]) -> None:
    with pytest.raises(UsageError, match="got max_keyframes -1"):
        documents_to_content_blocks(docs, max_keyframes=-1)


def test_blocks_are_what_providers_convert(docs: list[Document]) -> None:
    message = HumanMessage(content_blocks=documents_to_content_blocks(docs[:1], 1))
    assert [block["type"] for block in message.content_blocks] == ["text", "text", "image"]
    sent = convert_to_openai_messages(message)
    assert isinstance(sent, dict)
    assert sent["content"][2]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def test_the_same_picture_is_not_shown_twice(docs: list[Document]) -> None:
    # 5 frames a second for 20 seconds: there are 100 pictures, however many are wanted.
    said = seconds_said(list(documents_to_content_blocks(docs[:1], max_keyframes=200)))
    assert len(said) == len(set(said)) == 100


def test_keyframe_files_are_taken_where_named(lectures: Lectures, tmp_path: Path) -> None:
    retriever = ClamrRetriever(library=lectures.library, k=1, keyframes=4, keyframe_folder=tmp_path)
    docs = retriever.invoke(CHURN)
    named = json.loads(docs[0].metadata["keyframes"])
    for frame in named:
        Image.new("RGB", (8, 8), "red").save(frame["path"], "JPEG")
    blocks = documents_to_content_blocks(docs, max_keyframes=2)
    assert [picture(block).size for block in blocks if block["type"] == "image"] == [(8, 8)] * 2
    assert seconds_said(list(blocks)) == [round(named[n]["t"], 1) for n in (1, 3)]
    assert len(seconds_said(list(documents_to_content_blocks(docs, max_keyframes=9)))) == 4


@pytest.mark.parametrize("harm", ["gone", "another file", "not a picture"])
def test_pictures_that_are_not_to_be_had_are_left_out(
    lectures: Lectures, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    video = tmp_path / "talk.mp4"
    shutil.copy(lectures.talk, video)
    with VideoLibrary.open(tmp_path / "library") as library:
        library.add(video)
    docs = ClamrRetriever(library=tmp_path / "library", k=1).invoke(CHURN)
    if harm == "gone":
        video.unlink()
    elif harm == "another file":
        shutil.copy(lectures.garden, video)
    else:
        secret = tmp_path / "secret"
        secret.write_text("password")
        docs[0].metadata["keyframes"] = json.dumps([{"t": 1.0, "path": str(secret)}])
    blocks = documents_to_content_blocks(docs, max_keyframes=2)
    assert [block["type"] for block in blocks] == ["text"]
    assert "goes without pictures" in caplog.text
    assert caplog.text.count("\n") == 1


def test_a_stranger_s_document_is_an_error() -> None:
    with pytest.raises(UsageError, match="has no 'start_s' in its metadata"):
        documents_to_content_blocks([Document("hello")], max_keyframes=1)
    assert len(documents_to_content_blocks([Document("hello")], max_keyframes=0)) == 1


def test_large_pictures_are_made_smaller() -> None:
    import numpy as np

    payload = jpeg(np.zeros((1080, 1920, 3), np.uint8))
    assert Image.open(io.BytesIO(payload)).size == (MAX_SIDE, MAX_SIDE * 1080 // 1920)


def test_a_clip_id_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    from dataclasses import replace

    clip = replace(found().clip, clip_id="../../x")
    with pytest.raises(UsageError, match="cannot be the name of a folder"):
        KeyframeFolder(tmp_path / "pictures").of_clip(clip, 1)
