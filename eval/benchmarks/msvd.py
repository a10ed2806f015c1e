"""MSVD: 1,970 clips of YouTube videos with some 40 captions each; 670 of them are the test split.

Layout::

    test_list.txt  val_list.txt  train_list.txt    an id {youtube}_{start}_{stop} a line
    AllVideoDescriptions.txt                       "{id} {caption}" a line, after # lines; or
    video_corpus.csv                               VideoID,Start,End,...,Language,Description
    YouTubeClips/{id}.avi                          or anywhere below the folder

The lists are those of collaborative-experts, which CLIP4Clip uses with ``raw-captions.pkl``. A
pickle runs whatever code it holds, so it is not read; the two text forms are the original corpus
(names and columns checked against readers of both). They hold the captions as people wrote them,
where the pickle has them cut into lower-case words, and the CSV's captions in other languages than
English are left out.
"""

from __future__ import annotations

from pathlib import Path

from clamr_rag.errors import UsageError
from eval.benchmarks.captioned import captioned_videos
from eval.benchmarks.records import RetrievalBenchmark
from eval.benchmarks.tables import checked_choice, csv_rows, needed_file, text_rows, videos_under

SPLITS = ("test", "val", "train")
_TEXTS = ("**/AllVideoDescriptions.txt", "**/video_corpus.csv")
_COLUMNS = ("VideoID", "Start", "End", "Language", "Description")


def load(root: Path, *, split: str = "test") -> RetrievalBenchmark:
    """Reads MSVD.

    Args:
        root: Folder of the download.
        split: One of `SPLITS`.

    Raises:
        UsageError: An option, a file or a row cannot be used, or there are only pickles.
    """
    name = f"{checked_choice('split', split, SPLITS)}_list.txt"
    listed = needed_file(root, (f"**/{name}",), hint="download msvd_data.zip of CLIP4Clip")
    path = _text_file(root)
    found = _described(path) if path.suffix == ".txt" else _corpus(path)
    captions: dict[str, list[str]] = {}
    for place, video_id in text_rows(listed):
        if video_id not in found:
            raise UsageError(f"{place}: {path.name} has no caption of {video_id!r}")
        captions[video_id] = found[video_id]
    return captioned_videos(
        "msvd", split, captions, files=videos_under(root), sources=(listed, path)
    )


def _text_file(root: Path) -> Path:
    pickles = sorted(root.glob("**/*.pkl"))
    if pickles and not any(any(root.glob(name)) for name in _TEXTS):
        raise UsageError(
            f"{pickles[0]} is a pickle, which can run any code and is never read",
            allowed="AllVideoDescriptions.txt or video_corpus.csv",
            hint="download either of the original corpus",
        )
    return needed_file(root, _TEXTS, hint="download it from the original corpus")


def _described(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for place, line in text_rows(path):
        if line.startswith("#"):
            continue
        video_id, _, caption = line.partition(" ")
        if not caption.strip():
            raise UsageError(f"{place}: got {line[:40]!r}", allowed="an id, a space, a caption")
        found.setdefault(video_id, []).append(caption.strip())
    return found


def _corpus(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in csv_rows(path, _COLUMNS):
        caption = row.text("Description", may_be_blank=True).strip()
        # Some rows of the corpus were never described.
        if caption and row.text("Language", may_be_blank=True) == "English":
            video_id = "_".join(row.text(name) for name in ("VideoID", "Start", "End"))
            found.setdefault(video_id, []).append(caption)
    return found
