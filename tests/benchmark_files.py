"""Small benchmarks in their published file layouts, written by hand: a few rows of each.

The rows say what eval-protocols says of the real ones, oddities included. Videos are files with a
few bytes, for loaders look at their names only; `tests/media_files.py` makes real ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

Rows = Sequence[Mapping[str, Any]]


def write_parquet(path: Path, rows: Rows, **columns: object) -> Path:
    """A parquet file of rows; ``columns`` are added with one value each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist([dict(row) | columns for row in rows]), path)
    return path


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_videos(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"\0\0\0\x18ftyp")


def srt(*cues: tuple[str, str, str]) -> str:
    """A SubRip file of (start, stop, text)."""
    blocks = (f"{n}\n{start} --> {stop}\n{text}\n" for n, (start, stop, text) in enumerate(cues, 1))
    return "\n".join(blocks)


def font(text: str) -> str:
    """The font tag of Video-MME's subtitles."""
    return f'<font color="white" size=".72c">{text}</font>'


# Video-MME

VIDEO_MME_REPLIES = {
    "001-1": "C",
    "301-1": "Best answer: C",
    "601-1": "sorry, but the frames say nothing about what was asked for here",
}
"""One reply per question: 33.3, 50.0 or 66.7 % right by which rule reads them."""

VIDEO_MME_SRT = srt(
    ("00:00:01,000", "00:00:03,000", font("first words")),
    ("00:00:02,000", "00:00:06,500", "without a tag"),
    ("00:00:04,000", "00:00:05,000", font("overwritten")),
    ("00:00:04,000", "00:00:05,000", font("written over it")),
    ("00:00:08,000", "00:00:09,000", f"{font('upper')}\n{font('lower')}"),
)
"""A cue without the tag, two with the same times, one of two lines."""


def video_mme_row(number: int, duration: str, **changes: Any) -> dict[str, Any]:
    return {
        "video_id": f"{number:03d}",
        "duration": duration,
        "domain": "Knowledge",
        "sub_category": "Astronomy",
        "url": f"https://www.youtube.com/watch?v=tube{number:03d}",
        "videoID": f"tube{number:03d}",
        "question_id": f"{number:03d}-1",
        "task_type": "OCR Problems",
        "question": "What is written on the board?",
        "options": ["A. Orbit.", "B. Comet.", "C. Moon.", "D. Sun."],
        "answer": "C",
    } | changes


def write_video_mme(root: Path, **changes: Any) -> Path:
    """Three videos of one question each; the long one is missing, and only one has subtitles.

    Args:
        root: Folder to write to.
        changes: Fields of the second row.
    """
    rows = [
        video_mme_row(1, "short"),
        video_mme_row(301, "medium", **{"domain": "Multilingual", "sub_category": "Multilingual"})
        | changes,
        video_mme_row(601, "long", task_type="Action Reasoning"),
    ]
    write_parquet(root / "videomme/test-00000-of-00001.parquet", rows)
    write_videos(root / "data", "tube001.mp4", "tube301.MP4")
    write_text(root / "subtitle/tube001.srt", VIDEO_MME_SRT)
    return root


# Video-MME-v2

V2_WORDS = (
    ("So,", 0.2, 0.5),
    ("hello.", 0.5, 0.9),
    ("Today", 1.05, 1.4),
    ("rain", 1.5, 1.9),
    ("falls", 2.5, 2.9),
)
"""A pause of 0.15 s after a full stop, and one of 0.6 s without one."""


def v2_rows(video: int, kind: str, structure: str | None, level: str = "2") -> list[dict[str, Any]]:
    return [
        {
            "video_id": f"{video:03d}",
            "url": "https://example.org",
            "group_type": kind,
            "group_structure": structure,
            "question_id": f"{video:03d}-{place}",
            "question": "What falls?",
            "options": "\n".join(f"{letter}. thing {letter}" for letter in "ABCDEFGH"),
            "answer": "H",
            "level": level if place == 4 else None,
            "second_head": "Order" if place == 4 else None,
            "third_head": "None",
        }
        for place in range(1, 5)
    ]


def write_v2(root: Path, rows: Rows) -> Path:
    """Questions as they are given, a video and subtitles for 001 only."""
    write_parquet(root / "test.parquet", rows)
    write_videos(root / "videos", "001.mp4")
    words = [{"text": text, "start_time": start, "end_time": end} for text, start, end in V2_WORDS]
    write_jsonl(root / "subtitle/001.jsonl", words)
    return root


# LongVideoBench

LVB_SUBTITLES = [
    {"timestamp": [10, 12.0], "text": "one"},
    {"start": "00:00:34.900", "end": "00:00:35.100", "line": "two"},
    {"timestamp": [60.0, None], "text": "three"},
    {"timestamp": [70.0, 71.0], "text": "four"},
]
"""The example of eval-protocols 5.3, in both styles: offset 10, duration 100."""

LVB_REPLIES = {"aaa_0": "A", "bbb_0": "B", "ccc_0": "Answer: C"}
"""Right, wrong, and right for the rule that reads "Answer: C" as A: 0.66667."""


def lvb_row(name: str, group: int, category: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{name}_0",
        "video_id": name,
        "video_path": f"{name}.mp4",
        "subtitle_path": f"{name}_en.json",
        "question": "When the man in red stands up, what happens?",
        "question_wo_referring_query": "What happens?",
        "candidates": ["Rain", "Snow", "Hail", "Wind", "Sun"],
        "correct_choice": 0,
        "position": [10, 20],
        "topic_category": "NP-News-Programs",
        "question_category": category,
        "level": "L1-Perception",
        "duration_group": group,
        "duration": 100.0,
        "starting_timestamp_for_subtitles": 10.0,
        "view_count": 3,
    } | changes


def lvb_rows() -> list[dict[str, Any]]:
    return [
        lvb_row("aaa", 15, "S2E"),
        lvb_row("bbb", 15, "E3E", candidates=["Rain", "Snow", "Hail", "Wind"]),
        lvb_row("ccc", 600, "E3E", level="L2-Relation"),
    ]


def lvb_parquet_rows() -> list[dict[str, Any]]:
    """The same rows with the options in columns of their own."""
    rows = []
    for row in lvb_rows():
        options = [*row.pop("candidates"), "N/A"][:5]
        rows.append(row | {f"option{place}": option for place, option in enumerate(options)})
    return rows


def write_lvb(root: Path, rows: Rows | None = None) -> Path:
    """Three questions on three videos; one video and one subtitle file are there."""
    write_json(root / "lvb_val.json", lvb_rows() if rows is None else rows)
    return write_lvb_media(root)


def write_lvb_media(root: Path) -> Path:
    write_videos(root / "videos", "aaa.mp4")
    write_json(root / "subtitles/aaa_en.json", LVB_SUBTITLES)
    return root


# MLVU

MLVU_TASKS = "1_plotQA 2_needle 3_ego 4_count 5_order 6_anomaly_reco 7_topic_reasoning".split()
MLVU_REPLIES = {
    "count_1": "C) three",
    "count_2": "A",
    "count_3": "B)",
    "count_4": "D",
    "needle_1": "C",
}
"""1 of 4 right in one task and 1 of 1 in the other: 62.5 by task, 40.0 by question."""


def mlvu_row(video: str, /, **changes: Any) -> dict[str, Any]:
    return {
        "video": video,
        "duration": 480.5,
        "question": "How many cups are there?",
        "candidates": ["one", "two", "three", "four"],
        "answer": "three",
        "question_type": "findNeedle",
    } | changes


def write_mlvu_dev(root: Path, *, count_rows: Rows | None = None) -> Path:
    """Four questions of the task count, one of needle, none of the others."""
    rows: dict[str, Rows] = dict.fromkeys(MLVU_TASKS, ())
    rows["4_count"] = count_rows or [mlvu_row(f"count_{n}.mp4") for n in (1, 1, 2, 3)]
    rows["2_needle"] = [mlvu_row("needle_32.mp4")]
    for name, values in rows.items():
        write_json(root / f"MLVU/json/{name}.json", list(values))
    open_row = {"video": "sub.mp4", "duration": 60, "question": "What happens?", "answer": "Rain."}
    points = {"scoring_points": ["rain", "wind"], "question_type": "subPlot"}
    write_json(root / "MLVU/json/8_sub_scene.json", [open_row | points])
    write_json(root / "MLVU/json/9_summary.json", [open_row | {"question_type": "summary"}])
    write_videos(root / "MLVU/video/4_count", "count_1.mp4", "count_2.mp4")
    return root


def write_mlvu_test(root: Path) -> Path:
    row = mlvu_row("test_1.mp4", question_id="AC_0", question_type="count")
    six = ["a", "b", "c", "d", "e", "f"]
    other = mlvu_row("test_2.mp4", question_id="SQA_0", question_type="sportsQA")
    write_json(
        root / "test-ground-truth/test_mcq_gt.json",
        [row, other | {"candidates": six, "answer": "f"}],
    )
    write_videos(root / "video", "test_1.mp4")
    return root


def write_mlvu_lmms_eval(root: Path, task: str = "count") -> Path:
    question = "How many cups\nare there?\n(A) one\n(B) two\n(C) three\n(D) four"
    row = {"video_name": "count_1.mp4", "question": question, "answer": "C", "task_type": task}
    write_parquet(root / "mlvu/test-00000-of-00001.parquet", [row])
    write_videos(root, "count_1.mp4")
    return root


# LVBench


def lvbench_question(uid: str, **changes: Any) -> dict[str, Any]:
    return {
        "uid": uid,
        "question": "What year appears?\n(A) 1636\n(B) 1366\n(C) 1363\n(D) 1633",
        "answer": "C",
        "question_type": ["key information retrieval"],
        "time_reference": "00:15-00:19",
    } | changes


def lvbench_video(*questions: Mapping[str, Any], key: str = "Cm73ma6Ibcs") -> dict[str, Any]:
    return {
        "key": key,
        "type": "documentary",
        "video_info": {"duration_minutes": 65.0, "fps": 25, "resolution": {"width": 640}},
        "qa": list(questions),
    }


def lvbench_videos() -> list[dict[str, Any]]:
    both = ["entity recognition", "temporal grounding"]
    return [
        lvbench_video(
            lvbench_question("1", question_type=both, time_reference="01:04:30-01:06:00"),
            lvbench_question("2", question_type=["temporal grounding"]),
        ),
        lvbench_video(lvbench_question("3", time_reference="05:10-05:10"), key="other"),
    ]


def write_lvbench(root: Path, videos: Rows | None = None) -> Path:
    """Three questions on two videos, one of which is there."""
    write_jsonl(root / "video_info.meta.jsonl", lvbench_videos() if videos is None else videos)
    write_videos(root / "all_videos", "Cm73ma6Ibcs.mp4")
    return root


def write_lvbench_lmms_eval(root: Path) -> Path:
    row = lvbench_question("7") | {"video_path": "Cm73ma6Ibcs.mp4", "question": "What year?"}
    options = ["1636", "1366", "1363", "1633"]
    write_parquet(root / "data/train-00000-of-00001.parquet", [row | {"options": options}])
    write_videos(root, "Cm73ma6Ibcs.mp4")
    return root
