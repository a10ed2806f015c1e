"""Training data in both forms: what is read of a row, in which order, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.errors import UsageError
from clamr_rag.training.data import (
    PairSource,
    num_steps_per_epoch,
    open_pairs,
    rows_of_step,
)
from clamr_rag.types import Modality, TimeSpan
from tests.training_pairs import write_jsonl

GOLDEN = Path(__file__).parent / "golden" / "released_dataset"
"""Saved by ``DatasetDict.save_to_disk`` of datasets 5.2.0, train in two files."""


def opened(path: Path, **arguments: Any) -> PairSource:
    return open_pairs(path, **{"split": "train", **arguments})


# --- JSONL


def test_a_row_of_a_video(tmp_path: Path) -> None:
    row = {
        "query": " who founded the bakery ", "modality": "speech", "video": "sub/a.mp4",
        "start_seconds": 12, "stop_seconds": 30.5, "asr": "I founded it", "ocr": None,
    }  # fmt: skip
    pair = opened(write_jsonl(tmp_path / "p.jsonl", [row]))[0]
    assert pair.queries == ("who founded the bakery",)
    assert pair.gold is Modality.ASR
    assert pair.video == tmp_path / "sub" / "a.mp4"
    assert pair.span == TimeSpan(12, 30.5)
    assert (pair.ocr, pair.asr, pair.description) == (None, "I founded it", None)


def test_a_row_of_pictures(tmp_path: Path) -> None:
    rows = [
        {"query": "kite", "modality": "base", "frames": ["1.jpg", "2.jpg"],
         "frame_seconds": [0.5, 2], "video_id": "kites"},
        {"query": "kite", "modality": "video", "frames": ["1.jpg"]},
    ]  # fmt: skip
    timed, untimed = opened(write_jsonl(tmp_path / "p.jsonl", rows))
    assert timed.gold is Modality.VIDEO
    assert timed.frames == (tmp_path / "1.jpg", tmp_path / "2.jpg")
    assert timed.frame_seconds == (0.5, 2.0)
    assert timed.video_id == "kites"
    assert untimed.frame_seconds is None


def test_clips_without_a_video_id_are_told_apart_by_what_they_are(tmp_path: Path) -> None:
    base = {"query": "q", "modality": "asr", "video": "a.mp4"}
    rows = [
        {**base, "start_seconds": 0, "stop_seconds": 5},
        {**base, "start_seconds": 5, "stop_seconds": 9},
        {**base, "start_seconds": 5, "stop_seconds": 9, "query": "other words"},
        {"query": "q", "modality": "asr", "asr": "one"},
        {"query": "q", "modality": "asr", "asr": "two"},
    ]
    ids = [pair.video_id for pair in opened(write_jsonl(tmp_path / "p.jsonl", rows))]
    assert ids[1] == ids[2]
    assert len(set(ids)) == 4


FINE = {"query": "q", "modality": "ocr", "ocr": "text"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"query": "  "}, "query: .*at least 1 character"),
        ({"query": None}, "query: .*valid string"),
        ({"modality": "smell"}, "modality: .*'video'.*'description'"),
        ({"sound": "a.wav"}, "sound: Extra inputs are not permitted"),
        ({"ocr": 5}, "ocr: .*valid string"),
        ({"ocr": None}, "has no video, no frames and no text"),
        ({"video": "a.mp4", "frames": ["1.jpg"]}, "has both video and frames"),
        ({"start_seconds": 1, "stop_seconds": 2}, "has a span without a video"),
        ({"video": "a.mp4", "start_seconds": 1}, "has half a span"),
        ({"video": "a.mp4", "start_seconds": 3, "stop_seconds": 2}, "allowed: start before stop"),
        ({"video": "a.mp4", "start_seconds": -1, "stop_seconds": 2}, "start_seconds: .*greater"),
        ({"frames": ["1.jpg"], "frame_seconds": [1, 2]}, "has 1 frames and 2 frame_seconds"),
    ],
)
def test_a_wrong_row_is_told_by_its_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [FINE, {**FINE, **change}])
    path.write_text("\n" + path.read_text())
    pairs = opened(path)
    assert pairs[0].ocr == "text"
    with pytest.raises(UsageError, match=rf"p\.jsonl line 3: .*{told}") as caught:
        pairs[1]
    assert "\n" not in str(caught.value)


def test_a_line_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(FINE) + '\n{"query": "cut sho')
    with pytest.raises(UsageError, match=r"p\.jsonl line 2: Invalid JSON"):
        opened(path)[1]


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    rows = [{**FINE, "asr": f"{number} " * 4000} for number in range(1500)]
    path = write_jsonl(tmp_path / "p.jsonl", rows)
    num_bytes = path.stat().st_size
    del rows
    tracemalloc.start()
    pairs = opened(path)
    texts = [pairs[row].asr for row in (0, 700, 1499)]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [text and text.split()[0] for text in texts] == ["0", "700", "1499"]
    assert num_bytes > 20e6
    assert peak_bytes < 1e6


def test_what_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there; allowed: a JSONL file or a DatasetDict"):
        opened(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(UsageError, match="has no rows"):
        opened(tmp_path / "empty.jsonl")
    with pytest.raises(UsageError, match="a JSONL file names its files itself"):
        opened(write_jsonl(tmp_path / "p.jsonl", [FINE]), frames_dir=tmp_path)


# --- the released DatasetDict


@pytest.fixture
def arrow() -> None:
    pytest.importorskip("pyarrow", reason="part of the extra `train`")


@pytest.mark.usefixtures("arrow")
def test_rows_of_the_released_columns() -> None:
    pairs = opened(GOLDEN, frames_dir=Path("frames"))
    assert len(pairs) == 7
    kinds = [pairs[row].gold for row in range(7)]
    assert kinds == [
        Modality.DESCRIPTION, Modality.OCR, Modality.ASR, Modality.VIDEO, Modality.ASR,
        Modality.VIDEO, Modality.DESCRIPTION,
    ]  # fmt: skip
    third = pairs[2]
    assert third.queries == ("query 2 of a, with a comma",)
    assert third.video_id == pairs[3].video_id == "train_a_1"
    assert third.frames == tuple(Path("frames") / f"a_1_frame_{k}.jpg" for k in range(3))
    assert (third.ocr, third.asr) == ("OCR text 2", "speech 2 übermäßig 中文")
    assert pairs[1].ocr is None
    assert pairs[4].frames == ()
    assert pairs[6].video_id == "train_a_3"


@pytest.mark.usefixtures("arrow")
def test_a_split_by_name_or_by_its_folder() -> None:
    named = opened(GOLDEN, split="validation", frames_dir=Path("f"))
    itself = opened(GOLDEN / "validation", frames_dir=Path("f"))
    assert len(named) == len(itself) == 3
    assert named[1].queries == itself[1].queries == ("query 1 of b, with a comma",)
    with pytest.raises(UsageError, match="no split 'test'; allowed: train, validation"):
        opened(GOLDEN, split="test", frames_dir=Path("f"))


@pytest.mark.usefixtures("arrow")
def test_videos_in_place_of_images() -> None:
    pair = opened(GOLDEN, video_dir=Path("videos"))[2]
    assert pair.video == Path("videos/train_a_1.mp4")
    assert pair.frames == ()
    with pytest.raises(UsageError, match="names images; give --frames-dir or --video-dir"):
        opened(GOLDEN)


def write_dataset(folder: Path, columns: dict[str, list[Any]]) -> Path:
    """One split in the layout of ``datasets``."""
    arrow = importlib.import_module("pyarrow")
    folder.mkdir()
    table = arrow.table(columns)
    with arrow.ipc.new_stream(str(folder / "data.arrow"), table.schema) as writer:
        writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return folder


COLUMNS = {"video_id": ["v0", "v1"], "query": ["a", "b"], "query_type": ["ocr", "asr"]}


@pytest.mark.usefixtures("arrow")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"query_type": ["ocr", "smell"]}, "query_type 'smell'; allowed: video, base, ocr"),
        ({"query": ["a", None]}, "query"),
        ({"query": [["a"], []]}, "an empty list of queries"),
        ({"video_id": ["v0", " "]}, "video_id: .*at least 1 character"),
        ({"ocr": [1, 2]}, "ocr: .*valid string"),
        ({"images": [["a"], [None]]}, r"images\.0: .*valid string"),
    ],
)
def test_a_wrong_row_of_a_dataset(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    folder = write_dataset(tmp_path / "split", {**COLUMNS, **change})
    pairs = opened(folder, frames_dir=tmp_path)
    if "ocr" not in change:
        assert pairs[0].queries == ("a",)
    with pytest.raises(UsageError, match=rf"split row 1: .*{told}"):
        pairs[1]


@pytest.mark.usefixtures("arrow")
def test_several_wordings_of_a_query(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "split", {**COLUMNS, "query": [["a", "b"], ["c"]]})
    assert [pair.queries for pair in (opened(folder)[0], opened(folder)[1])] == [("a", "b"), ("c",)]


@pytest.mark.usefixtures("arrow")
def test_a_damaged_dataset(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "few", {"video_id": ["v"], "text": ["t"]})
    with pytest.raises(UsageError, match="lacks the columns query, query_type; it has video_id, t"):
        opened(folder)
    folder = write_dataset(tmp_path / "split", COLUMNS)
    (folder / "data.arrow").write_bytes(b"not arrow at all")
    with pytest.raises(UsageError, match=r"data\.arrow cannot be read"):
        opened(folder)
    (folder / "data.arrow").unlink()
    with pytest.raises(UsageError, match=r"data\.arrow cannot be read"):
        opened(folder)
    for state, told in (("{}", "names no _data_files"), ("[", "holds no JSON object"),
                        ('{"_indices_data_files": [1]}', "an index of its rows")):  # fmt: skip
        (folder / "state.json").write_text(state)
        with pytest.raises(UsageError, match=told):
            opened(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(UsageError, match=r"no dataset_dict\.json in .*; allowed: a JSONL file, or"):
        opened(folder)


def test_pyarrow_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clamr_rag.training.released.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pyarrow is not installed; pip install 'clamr-rag"):
        opened(GOLDEN, frames_dir=Path("f"))


# --- order


@given(
    num_pairs=st.integers(2, 60),
    batch_pairs=st.integers(2, 9),
    seed=st.integers(0, 1000),
    epoch=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_an_epoch_has_no_row_twice(num_pairs: int, batch_pairs: int, seed: int, epoch: int) -> None:
    if num_pairs < batch_pairs:
        return
    steps = num_steps_per_epoch(num_pairs, batch_pairs)
    rows = np.concatenate(
        [
            rows_of_step(step, num_pairs=num_pairs, batch_pairs=batch_pairs, seed=seed)
            for step in range(epoch * steps, (epoch + 1) * steps)
        ]
    )
    assert len(rows) == steps * batch_pairs > num_pairs - batch_pairs
    assert len(set(rows.tolist())) == len(rows)
    assert set(rows.tolist()) <= set(range(num_pairs))


def test_the_order_is_of_the_seed_and_the_epoch() -> None:
    def order(step: int, seed: int) -> list[int]:
        return rows_of_step(step, num_pairs=50, batch_pairs=50, seed=seed).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
    assert order(0, 1) != list(range(50))


def test_a_batch_larger_than_the_data() -> None:
    with pytest.raises(UsageError, match="got 7 pairs for batches of 8; lower --batch-pairs"):
        num_steps_per_epoch(7, 8)
