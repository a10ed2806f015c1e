"""MSR-VTT: 10,000 short videos with 20 captions each, searched by caption.

Layout (the release and the split files of JSFusion as CLIP4Clip ships them in ``msrvtt_data.zip``;
names and columns checked against readers of both)::

    MSRVTT_JSFUSION_test.csv       key,vid_key,video_id,sentence: 1,000 videos, a caption each
    MSRVTT_data.json               videos: video_id, split, start time, end time, ...
                                   sentences: video_id, caption, sen_id
    video7010.mp4                  anywhere below the folder

``split="1k-A"`` is what most papers report and needs the CSV alone; "1k-A-all" asks with all 20
captions of the same videos, "full" with all captions of the 2,990 videos of the official test split
(also out of ``test_videodatainfo.json``).
"""

from __future__ import annotations

from pathlib import Path

from eval.benchmarks.captioned import captioned_videos
from eval.benchmarks.records import RetrievalBenchmark
from eval.benchmarks.rows import Row, json_row
from eval.benchmarks.tables import checked_choice, csv_rows, needed_file, videos_under

SPLITS = ("1k-A", "1k-A-all", "full")
_CSV = ("**/MSRVTT_JSFUSION_test.csv",)
_JSON = ("**/MSRVTT_data.json", "**/test_videodatainfo.json")
_HINT = "download msrvtt_data.zip of CLIP4Clip"


def load(root: Path, *, split: str = "1k-A") -> RetrievalBenchmark:
    """Reads MSR-VTT.

    Args:
        root: Folder of the download.
        split: One of `SPLITS`.

    Raises:
        UsageError: An option, a file or a row cannot be used.
    """
    checked_choice("split", split, SPLITS)
    sources: list[Path] = []
    captions: dict[str, list[str]] = {}
    durations: dict[str, float] = {}
    if split != "full":
        sources.append(needed_file(root, _CSV, hint=_HINT))
        captions = _jsfusion(sources[0])
    if split != "1k-A":
        sources.append(needed_file(root, _JSON if split == "full" else _JSON[:1], hint=_HINT))
        release = json_row(sources[-1])
        durations = _durations(release, None if split == "full" else captions)
        captions = _all_captions(release, durations)
    return captioned_videos(
        "msrvtt",
        split,
        captions,
        files=videos_under(root),
        sources=sources,
        durations=durations,
    )


def _jsfusion(path: Path) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for row in csv_rows(path, ("video_id", "sentence")):
        video_id = row.text("video_id")
        if video_id in captions:
            raise row.error(f"video_id {video_id!r} is there twice", allowed="a caption per video")
        captions[video_id] = [row.text("sentence")]
    return captions


def _durations(release: Row, wanted: dict[str, list[str]] | None) -> dict[str, float]:
    """Length of the wanted videos in order of the file; None: those of the test split."""
    found = {}
    for row in release.rows("videos"):
        video_id = row.text("video_id")
        if (row.text("split") == "test") if wanted is None else (video_id in wanted):
            found[video_id] = row.seconds("end time") - row.seconds("start time")
            if found[video_id] <= 0:
                raise row.error(f"lasts {found[video_id]} s", allowed="an end after the start")
    if not found:
        raise release.error("has no video of the test split")
    if lacking := [video_id for video_id in wanted or () if video_id not in found]:
        raise release.error(f"has no video {lacking[0]!r}", allowed="all videos of the CSV")
    return found


def _all_captions(release: Row, durations: dict[str, float]) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {video_id: [] for video_id in durations}
    for row in release.rows("sentences"):
        video_id = row.text("video_id")
        if video_id in captions:
            captions[video_id].append(row.text("caption"))
    if lacking := [video_id for video_id, texts in captions.items() if not texts]:
        raise release.error(f"has no sentence of {lacking[0]!r}", allowed="one per video or more")
    return captions
