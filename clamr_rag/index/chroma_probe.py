"""Reads a Chroma folder in a process of its own: a damaged one can end the process that opens it.

``python -m clamr_rag.index.chroma_probe FOLDER COLLECTION`` exits with 0 if all of it can be read.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROBE_SECONDS = 300.0


def can_be_read(folder: Path, name: str) -> bool:
    """Whether another process could read every record and search."""
    command = [sys.executable, "-m", "clamr_rag.index.chroma_probe", str(folder), name]
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main(folder: str, name: str) -> None:
    """Reads all vectors, and searches for one; any failure ends the process."""
    from clamr_rag.index.chroma_records import ChromaRecords

    records = ChromaRecords.in_folder(Path(folder), name)
    whole = records.is_whole()
    records.close()
    if not whole:
        sys.exit("some records have no vector")


if __name__ == "__main__":
    main(*sys.argv[1:])
