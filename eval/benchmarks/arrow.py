"""Rows of the two Arrow files that benchmarks come in: parquet, and what ``datasets`` saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clamr_rag.errors import UsageError
from eval.benchmarks.rows import Row, check_columns, check_readable, rows_of


def parquet_rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> tuple[Row, ...]:
    """The rows of a parquet file, of its named columns only (others may hold pictures).

    Raises:
        UsageError: It is not there, not parquet, or lacks a column that is not optional.
    """
    with _arrow_errors(path, "parquet"):
        from pyarrow import parquet  # type: ignore[import-untyped]

        check_readable(path)
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_columns(path, names, columns)
            wanted = [name for name in (*columns, *optional) if name in names]
            values = file.read(columns=wanted, use_threads=False).to_pylist()
    return rows_of(values, f"{path} row")


def saved_dataset_rows(folder: Path, columns: Sequence[str]) -> tuple[Row, ...]:
    """The rows of one split that ``datasets`` saved to disk, of the named columns only.

    Raises:
        UsageError: There are no Arrow files, or one cannot be read or lacks a column.
    """
    files = sorted(folder.glob("data-*.arrow"))
    if not files:
        raise UsageError(f"{folder}: has no data-*.arrow", hint="is it a split of a DatasetDict?")
    return tuple(row for path in files for row in _stream_rows(path, columns))


def _stream_rows(path: Path, columns: Sequence[str]) -> tuple[Row, ...]:
    with _arrow_errors(path, "an Arrow stream"):
        from pyarrow import ipc

        check_readable(path)
        with path.open("rb") as file, ipc.open_stream(file) as stream:
            check_columns(path, stream.schema.names, columns)
            values = stream.read_all().select(list(columns)).to_pylist()
    return rows_of(values, f"{path} row")


@contextmanager
def _arrow_errors(path: Path, kind: str) -> Iterator[None]:
    """Names the file in what pyarrow raises, and says what to install where it is not there."""
    try:
        from pyarrow import ArrowException
    except ImportError:
        raise UsageError(
            f"{path}: reading it needs pyarrow", hint="pip install 'clamr-rag[eval]'"
        ) from None
    try:
        yield
    except (ArrowException, OSError) as error:
        raise UsageError(
            f"{path}: not {kind}: {error}", hint="was it downloaded completely?"
        ) from None
