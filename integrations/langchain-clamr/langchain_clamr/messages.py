"""From Documents to what a multimodal chat model reads: text and pictures with their times."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from clamr_rag.answering.plain import timecode
from clamr_rag.errors import MediaError, UsageError
from clamr_rag.media import content_key, iter_frames
from langchain_core.documents import Document
from langchain_core.messages.content import ContentBlock, create_text_block

from langchain_clamr.pictures import MAX_SIDE, image_block, jpeg

_log = logging.getLogger(__name__)

_JPEG_START = b"\xff\xd8\xff"


def documents_to_content_blocks(
    docs: Sequence[Document], max_keyframes: int = 2
) -> list[ContentBlock]:
    """Turns retrieved clips into standard message blocks.

    Each clip gives one text block, then for every picture a text block that says its time and an
    image block (base64 JPEG). Pictures come from the keyframe files that the Document names, else
    from the video itself. A clip whose pictures are gone keeps its text, with a warning in the log.

    Args:
        docs: From `ClamrRetriever`, in the order in which the model shall read them.
        max_keyframes: Most pictures per clip; 0 gives text alone.

    Raises:
        UsageError: ``max_keyframes`` is negative, or a Document is not of a clip.
    """
    if max_keyframes < 0:
        raise UsageError(f"got max_keyframes {max_keyframes}", allowed="0 or more")
    blocks: list[ContentBlock] = []
    for doc in docs:
        blocks.append(create_text_block(doc.page_content))
        for seconds, payload in _pictures(doc, max_keyframes):
            blocks.append(create_text_block(f"Frame at {timecode(seconds)} of {doc.id}:"))
            blocks.append(image_block(payload))
    return blocks


def _pictures(doc: Document, count: int) -> Iterator[tuple[float, bytes]]:
    """Second and JPEG of up to ``count`` pictures of a clip, in order of time."""
    if count == 0:
        return
    named = json.loads(doc.metadata.get("keyframes", "[]"))
    try:
        if named:
            yield from _kept([(frame["t"], Path(frame["path"])) for frame in named], count)
        else:
            yield from _decoded(doc, count)
    except (MediaError, OSError) as fault:
        _log.warning("clip %s goes without pictures: %s", doc.id, fault)


def _kept(named: Sequence[tuple[float, Path]], count: int) -> Iterator[tuple[float, bytes]]:
    """Reads keyframe files, spread evenly over those that there are."""
    wanted = min(count, len(named))
    for place in range(wanted):
        seconds, path = named[(2 * place + 1) * len(named) // (2 * wanted)]
        payload = path.read_bytes()
        if not payload.startswith(_JPEG_START):
            # Metadata may have been through other hands: no other file ends in a prompt.
            raise MediaError(f"{path} is not a JPEG picture")
        yield seconds, payload


def _decoded(doc: Document, count: int) -> Iterator[tuple[float, bytes]]:
    """Decodes pictures at the middles of ``count`` equal parts of the clip."""
    try:
        start, stop = doc.metadata["start_s"], doc.metadata["end_s"]
        path, video_id = Path(doc.metadata["video_path"]), doc.metadata["video_id"]
    except KeyError as fault:
        raise UsageError(
            f"document {doc.id!r} has no {fault.args[0]!r} in its metadata",
            allowed="documents of ClamrRetriever",
        ) from fault
    # The id is the start of the content's key: pictures of another file would be false evidence.
    if not content_key(path).startswith(video_id):
        raise MediaError(f"{path} has changed since it was indexed")
    seconds = [start + (part + 0.5) * (stop - start) / count for part in range(count)]
    last = -1.0
    for frame in iter_frames(path, seconds, max_side=MAX_SIDE):
        if frame.seconds > last:
            yield frame.seconds, jpeg(frame.pixels)
        last = frame.seconds
