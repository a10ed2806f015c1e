"""DiDeMo: personal videos of which half a minute was described, searched by paragraph.

Layout (LisaAnne/LocalizingMoments ``data/``, lists of collaborative-experts; checked against
CLIP4Clip ``dataloaders/dataloader_didemo_retrieval.py``)::

    test_data.json  val_data.json  train_data.json    rows: video, description, times, ...
    test_list.txt   val_list.txt   train_list.txt     videos that are counted; may be missing
    {video}.mp4                                       whatever the suffix, below the folder

All descriptions of a video, in order of the file, are one paragraph and one query. Longer videos
were described in their first 30 seconds, so ``part="first-31s"`` searches what CLIP4Clip does.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from clamr_rag.errors import UsageError
from clamr_rag.types import TimeSpan
from eval.benchmarks.captioned import captioned_videos
from eval.benchmarks.records import RetrievalBenchmark
from eval.benchmarks.rows import json_rows
from eval.benchmarks.tables import checked_choice, needed_file, text_rows, videos_under

SPLITS = ("test", "val", "train")
PARTS = {"first-31s": TimeSpan(0.0, 31.0), "whole": None}


def load(root: Path, *, split: str = "test", part: str = "first-31s") -> RetrievalBenchmark:
    """Reads DiDeMo for paragraph-to-video retrieval.

    Args:
        root: Folder of the download.
        split: One of `SPLITS`.
        part: "first-31s" of each video, or "whole".

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    checked_choice("split", split, SPLITS)
    span = PARTS[checked_choice("part", part, PARTS)]
    hint = "download data/ of LisaAnne/LocalizingMoments"
    path = needed_file(root, (f"**/{split}_data.json",), hint=hint)
    texts: dict[str, list[str]] = {}
    for row in json_rows(path):
        texts.setdefault(row.text("video"), []).append(row.text("description").strip())
    if not texts:
        raise UsageError(f"{path}: has no rows", hint=hint)
    sources, counted = [path], list(texts)
    if listed := sorted(root.glob(f"**/{split}_list.txt")):
        sources.append(listed[0])
        counted = _listed(listed[0], texts)
    files = videos_under(root)
    return captioned_videos(
        "didemo",
        f"{split}-{part}",
        {name: [" ".join(texts[name])] for name in counted},
        files={name: files[stem] for name in counted if (stem := _stem(name, files)) in files},
        sources=sources,
        span=span,
    )


def _listed(path: Path, texts: dict[str, list[str]]) -> list[str]:
    rows = text_rows(path)
    for place, name in rows:
        if name not in texts:
            raise UsageError(f"{place}: {name!r} has no description", hint="is it this split's?")
    return list(dict.fromkeys(name for _, name in rows))


def _stem(name: str, files: dict[str, Path]) -> str:
    """A video's name with or without its suffix: names hold dots, and files were converted."""
    return name if name in files else PurePosixPath(name).stem
