"""The data of the released code: a DatasetDict that ``datasets`` saved to disk.

Columns: video_id, query, query_type, and any of images, ocr, description, asr. Others (title,
query_id, audio_id, ...) are not read, as in the released code. The test data is saved under the
split name "train". Arrow files are mapped into memory, of which only what is read is loaded.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from clamr_rag.errors import UsageError
from clamr_rag.training.data import MODALITY_WORDS, TrainingPair
from clamr_rag.training.jsonl import Words, first_fault

_NEEDED = ("video_id", "query", "query_type")
_READ = (*_NEEDED, "images", "ocr", "asr", "description")


class _Row(BaseModel):
    model_config = ConfigDict(strict=True)

    video_id: Words
    query: Words | list[Words]
    query_type: str
    images: list[str] | None = None
    ocr: str | None = None
    asr: str | None = None
    description: str | None = None


class ReleasedPairs:
    """The rows of one split."""

    def __init__(
        self, folder: Path, *, split: str, frames_dir: Path | None, video_dir: Path | None
    ) -> None:
        self._folder = _split_folder(folder, split)
        self._frames_dir, self._video_dir = frames_dir, video_dir
        self._table = _mapped(self._folder)
        if frames_dir is None and video_dir is None and "images" in self._table.column_names:
            raise UsageError(
                f"{self._folder} names images", hint="give --frames-dir or --video-dir"
            )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, row: int) -> TrainingPair:
        """Reads a row; see `PairSource`."""
        place = f"{self._folder} row {row}"
        try:
            values = _Row.model_validate(self._table.slice(row, 1).to_pylist()[0])
        except ValidationError as error:
            raise UsageError(f"{place}: {first_fault(error)}") from None
        if values.query_type not in MODALITY_WORDS:
            raise UsageError(
                f"{place}: query_type {values.query_type!r}", allowed=", ".join(MODALITY_WORDS)
            )
        queries = (values.query,) if isinstance(values.query, str) else tuple(values.query)
        if not queries:
            raise UsageError(f"{place}: an empty list of queries")
        # No times of the images are known, nor the span that they are from.
        return TrainingPair(
            place=place,
            queries=queries,
            gold=MODALITY_WORDS[values.query_type],
            video_id=values.video_id,
            frames=self._frames(values),
            video=self._video_dir / f"{values.video_id}.mp4" if self._video_dir else None,
            ocr=values.ocr,
            asr=values.asr,
            description=values.description,
        )

    def _frames(self, row: _Row) -> tuple[Path, ...]:
        if self._frames_dir is None or self._video_dir is not None:
            return ()
        return tuple(self._frames_dir / name for name in row.images or ())


def _split_folder(folder: Path, split: str) -> Path:
    """The folder of a split; ``folder`` itself where it is one."""
    if (folder / "state.json").is_file():
        return folder
    splits = _json(folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or split not in splits:
        shown = ", ".join(map(str, splits)) if isinstance(splits, list) else "none"
        raise UsageError(f"{folder} has no split {split!r}", allowed=shown)
    return folder / split


def _mapped(folder: Path) -> Any:
    """The split's table, mapped into memory."""
    if find_spec("pyarrow") is None:
        raise UsageError(
            f"{folder} holds Arrow files and pyarrow is not installed",
            hint="pip install 'clamr-rag[train]', or use a JSONL file",
        )
    arrow = import_module("pyarrow")
    tables = []
    for path in _arrow_files(folder):
        try:
            tables.append(arrow.ipc.open_stream(arrow.memory_map(str(path))).read_all())
        except (arrow.ArrowException, OSError) as error:
            raise UsageError(
                f"{path} cannot be read: {error}", hint="save the data set again"
            ) from error
    table = arrow.concat_tables(tables)
    lacking = [name for name in _NEEDED if name not in table.column_names]
    if lacking:
        raise UsageError(
            f"{folder} lacks the columns {', '.join(lacking)}; it has "
            f"{', '.join(table.column_names)}"
        )
    return table.select([name for name in _READ if name in table.column_names])


def _arrow_files(folder: Path) -> list[Path]:
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise UsageError(
            f"{folder} was saved with an index of its rows", hint="save it with datasets >= 2.0"
        )
    named = state.get("_data_files")
    try:
        # Only the name: a state must not lead out of its folder.
        files = [folder / Path(file["filename"]).name for file in named or ()]
    except (TypeError, KeyError):
        files = []
    if not files:
        raise UsageError(f"{folder / 'state.json'} names no _data_files")
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no {path.name} in {path.parent}",
            allowed="a JSONL file, or a folder from DatasetDict.save_to_disk",
        ) from None
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no JSON object", hint="save the data set again")
    return values
