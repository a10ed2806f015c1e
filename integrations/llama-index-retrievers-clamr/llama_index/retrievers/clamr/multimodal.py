"""Clips as LlamaIndex's own multimodal node, for programs that need its resources."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from llama_index.core.schema import MediaResource, Node

from llama_index.retrievers.clamr.keyframes import MAX_SIDE
from llama_index.retrievers.clamr.nodes import VideoClipNode

NodeFormat = Literal["clip", "multimodal"]


def as_multimodal(node: VideoClipNode) -> Node:
    """The clip with one picture (all keyframes side by side) and its video file as resources."""
    pictures = [each.path for each in node.keyframes if each.path.is_file()]
    video = Path(str(node.metadata["video_path"]))
    return Node(
        id_=node.node_id,
        text_resource=MediaResource(text=node.text),
        image_resource=MediaResource(path=_sheet(pictures)) if pictures else None,
        video_resource=MediaResource(path=video) if video.is_file() else None,
        metadata=dict(node.metadata),
        excluded_llm_metadata_keys=list(node.excluded_llm_metadata_keys),
        excluded_embed_metadata_keys=list(node.excluded_embed_metadata_keys),
        relationships=dict(node.relationships),
    )


def _sheet(pictures: Sequence[Path]) -> Path:
    """One picture of several; a file, since bytes in a node are lost with every store."""
    if len(pictures) == 1:
        return pictures[0]
    from PIL import Image

    from llama_index.retrievers.clamr.keyframes import write_whole

    name = "-".join(path.stem.removeprefix("keyframe-") for path in pictures)
    sheet = pictures[0].with_name(f"sheet-{name}.jpg")
    if not sheet.is_file():
        opened = [Image.open(path) for path in pictures]
        whole = Image.new("RGB", (sum(p.width for p in opened), max(p.height for p in opened)))
        left = 0
        for picture in opened:
            whole.paste(picture, (left, 0))
            left += picture.width
        whole.thumbnail((2 * MAX_SIDE, MAX_SIDE))
        buffer = io.BytesIO()
        whole.save(buffer, "JPEG", quality=75)
        write_whole(sheet, buffer.getvalue())
    return sheet
