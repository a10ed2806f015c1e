"""The node of a retrieved clip: its text with true times, its keyframes as picture blocks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clamr_rag.answering.plain import one_plain_line
from clamr_rag.types import Clip, OcrLine, Video
from llama_index.core.base.llms.types import BaseContentBlock, ImageBlock, TextBlock
from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

logger = logging.getLogger(__name__)

Metadata = dict[str, str | int | float | None]

_MARK_EVERY_SECONDS = 5.0
"""A line of speech or screen text is given its time where the last one is longer ago than this."""
_LONGEST_LINE = 20_000


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A picture of a clip in a file."""

    seconds: float
    """True time of the picture in the video."""
    path: Path
    """JPEG file, absolute."""


@dataclass(frozen=True, slots=True)
class ClipSource:
    """Where a clip comes from: what its node needs beside the clip itself."""

    video: Video
    num_clips: int
    """Clips of the video: the last one has no next."""
    index_version: str
    """Fingerprint of the options under which the video was indexed."""
    model_id: str
    """Fingerprint of the library's encoder; its name comes first."""


class VideoClipNode(TextNode):
    """A clip as a text node whose content blocks also hold its keyframes.

    All state is in ``text`` and in flat ``metadata``, so that every store, cache and serialiser of
    LlamaIndex keeps it; a plain ``TextNode`` that comes back from one is upgraded by `from_node`.
    """

    def get_content_blocks(
        self, metadata_mode: MetadataMode = MetadataMode.NONE
    ) -> list[BaseContentBlock]:
        """The clip's text in one block, then a picture per keyframe that is still there."""
        blocks: list[BaseContentBlock] = [TextBlock(text=self.get_content(metadata_mode))]
        for keyframe in self.keyframes:
            # ImageBlock raises for a file that is gone, and that would end the whole query.
            if keyframe.path.is_file():
                blocks.append(ImageBlock(path=keyframe.path, image_mimetype="image/jpeg"))
            else:
                logger.warning("%s: keyframe %s is gone", self.node_id, keyframe.path)
        return blocks

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """Pictures of the clip in order of time."""
        stored = json.loads(str(self.metadata.get("keyframes") or "[]"))
        return tuple(Keyframe(float(each["t"]), Path(each["path"])) for each in stored)

    @property
    def start_s(self) -> float:
        """Second of the video at which the clip starts."""
        return float(self.metadata["start_s"])

    @property
    def end_s(self) -> float:
        """Second of the video before which the clip ends."""
        return float(self.metadata["end_s"])

    @classmethod
    def from_node(cls, node: BaseNode) -> Self:
        """Makes a clip node of one that came back from a store as a plain ``TextNode``.

        Raises:
            ValueError: The node is not one of a clip.
        """
        if not (isinstance(node, TextNode) and is_clip(node)):
            raise ValueError(f"got {type(node).__name__} {node.node_id}; allowed: nodes of clips")
        return cls(**node.model_copy(deep=True).model_dump(include=set(TextNode.model_fields)))


def is_clip(node: BaseNode) -> bool:
    """Whether a node was made of a clip, whatever class it has now."""
    return {"clip_id", "video_id", "start_s", "end_s", "keyframes"} <= node.metadata.keys()


def clip_node(clip: Clip, source: ClipSource, keyframes: Sequence[Keyframe] = ()) -> VideoClipNode:
    """Makes the node of a clip; equal arguments give equal nodes."""
    metadata = clip_metadata(clip, source)
    metadata["keyframes"] = json.dumps(
        [{"t": round(each.seconds, 3), "path": str(each.path)} for each in keyframes]
    )
    return VideoClipNode(
        id_=clip.clip_id,
        text=clip_text(clip, source.video),
        metadata=metadata,
        excluded_llm_metadata_keys=list(metadata),
        excluded_embed_metadata_keys=list(metadata),
        relationships=dict(_relationships(clip, source)),
    )


def clip_metadata(clip: Clip, source: ClipSource) -> Metadata:
    """What a clip can be filtered by; without its keyframes."""
    return {
        "clip_id": clip.clip_id,
        "video_id": clip.video_id,
        "title": clean(source.video.title),
        "start_s": round(float(clip.span.start_seconds), 3),
        "end_s": round(float(clip.span.stop_seconds), 3),
        "timecode": timecode(clip),
        "video_path": clean(source.video.path),
        "keyframes": "[]",
        "modalities": ",".join(_modalities(clip)),
        "index_version": source.index_version,
        "model_id": source.model_id,
    }


def clip_text(clip: Clip, video: Video) -> str:
    """A header with title, time and id, then a line per modality that the clip has."""
    lines = [f"[{_plain(video.title)} | {timecode(clip)} | {clip.clip_id}]"]
    if speech := _timed((cue.start_seconds, cue.text) for cue in clip.cues):
        lines.append(f"speech: {speech}")
    if screen := _timed((_shown(line, clip), line.text) for line in clip.ocr_lines):
        lines.append(f"ocr: {screen}")
    if metadata := "; ".join(_plain(line.text) for line in clip.metadata):
        lines.append(f"metadata: {metadata}")
    return "\n".join(lines)


def timecode(clip: Clip) -> str:
    """Start and end of a clip as ``HH:MM:SS.s-HH:MM:SS.s``."""
    return f"{_long_clock(clip.span.start_seconds)}-{_long_clock(clip.span.stop_seconds)}"


def clock(seconds: float) -> str:
    """A second as ``MM:SS``, or as ``H:MM:SS`` from an hour on."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"


def clean(text: str) -> str:
    """Replaces half surrogate pairs (of names that are not UTF-8): no request can carry them."""
    return text.encode("utf-8", "replace").decode()


def _plain(text: str) -> str:
    """Words of strangers in one line, unable to leave their place in a prompt."""
    return one_plain_line(text, limit=_LONGEST_LINE)


def _long_clock(seconds: float) -> str:
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{tenths // 10:02d}.{tenths % 10}"


def _shown(line: OcrLine, clip: Clip) -> float:
    """When a line is first seen within the clip: it may have been there before."""
    return max(line.first_seconds, clip.span.start_seconds)


def _timed(lines: Iterable[tuple[float, str]]) -> str:
    """Texts in one line, with a time before the first and then every few seconds."""
    parts, marked = [], float("-inf")
    for seconds, text in sorted(lines, key=lambda line: line[0]):
        words = _plain(text)
        if words and seconds - marked >= _MARK_EVERY_SECONDS:
            parts.append(f"({clock(seconds)})")
            marked = seconds
        parts.append(words)
    return " ".join(filter(None, parts))


def _modalities(clip: Clip) -> Iterator[str]:
    yield "visual"
    if clip.cues:
        yield "speech"
    if clip.ocr_lines:
        yield "ocr"
    if clip.metadata:
        yield "metadata"


def _relationships(
    clip: Clip, source: ClipSource
) -> Iterator[tuple[NodeRelationship, RelatedNodeInfo]]:
    """Video and neighbours by id alone: copied metadata would go stale and grow every node."""
    video = RelatedNodeInfo(node_id=clip.video_id, node_type=ObjectType.DOCUMENT)
    yield NodeRelationship.SOURCE, video
    if clip.number > 0:
        yield NodeRelationship.PREVIOUS, _neighbour(clip, -1)
    if clip.number + 1 < source.num_clips:
        yield NodeRelationship.NEXT, _neighbour(clip, 1)


def _neighbour(clip: Clip, step: int) -> RelatedNodeInfo:
    clip_id = f"{clip.video_id}-{clip.number + step:05d}"
    return RelatedNodeInfo(node_id=clip_id, node_type=ObjectType.TEXT)
