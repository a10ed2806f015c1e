"""ActivityNet Captions: two-minute videos described event by event, searched by paragraph.

Layout (``captions.zip`` of the data set, id lists of the same; checked against CLIP4Clip
``dataloaders/dataloader_activitynet_retrieval.py``)::

    val_1.json  val_2.json  train.json     "v_{id}": {duration, timestamps, sentences}
    val_ids.json  train_ids.json           a list of "v_{id}" that are counted; may be missing
    v_{id}.mp4 or {id}.mp4                 below the folder

All sentences of a video in order are one paragraph and one query; ``val_1`` is what papers report.
Times of the sentences are not used, and so not checked (some stop before they start).
"""

from __future__ import annotations

from pathlib import Path

from clamr_rag.errors import UsageError
from eval.benchmarks.captioned import captioned_videos
from eval.benchmarks.records import RetrievalBenchmark
from eval.benchmarks.rows import Row, json_row, json_value
from eval.benchmarks.tables import checked_choice, needed_file, videos_under

SPLITS = ("val_1", "val_2", "train")


def load(root: Path, *, split: str = "val_1") -> RetrievalBenchmark:
    """Reads ActivityNet Captions for paragraph-to-video retrieval.

    Args:
        root: Folder of the download.
        split: One of `SPLITS`.

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    checked_choice("split", split, SPLITS)
    hint = "download captions.zip of ActivityNet Captions"
    path = needed_file(root, (f"**/{split}.json",), hint=hint)
    release = json_row(path)
    if not release.fields:
        raise release.error("has no videos", hint=hint)
    sources, counted = [path], list(release.fields)
    if listed := sorted(root.glob(f"**/{split.partition('_')[0]}_ids.json")):
        sources.append(listed[0])
        # A second annotator did not describe every video of the list.
        counted = _listed(listed[0], release, may_lack=split == "val_2")
    rows = {name: release.row(name) for name in counted}
    files = videos_under(root)
    found = {name: files.get(name) or files.get(name.removeprefix("v_")) for name in counted}
    return captioned_videos(
        "activitynet",
        split,
        {name: [_paragraph(row)] for name, row in rows.items()},
        files={name: path for name, path in found.items() if path is not None},
        sources=sources,
        durations={name: row.seconds("duration") for name, row in rows.items()},
    )


def _listed(path: Path, release: Row, *, may_lack: bool) -> list[str]:
    names = json_value(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: holds no list of ids", allowed='["v_...", ...]')
    lacking = [name for name in names if name not in release.fields]
    if lacking and not may_lack:
        raise release.error(f"has no {lacking[0]!r} of {path.name}", hint="is it this split's?")
    return [name for name in dict.fromkeys(names) if name in release.fields]


def _paragraph(row: Row) -> str:
    sentences = row.texts("sentences")
    if len(row.values("timestamps")) != len(sentences):
        raise row.error(
            f"has {len(sentences)} sentences and {len(row.values('timestamps'))} timestamps",
            allowed="as many of each",
        )
    return " ".join(sentence.strip() for sentence in sentences)
