"""What the tests share: a library that has read two videos."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from langchain_videos import Lectures, write_garden, write_talk


@pytest.fixture(scope="session")
def lectures(tmp_path_factory: pytest.TempPathFactory) -> Lectures:
    from clamr_rag import VideoLibrary

    folder = tmp_path_factory.mktemp("lectures")
    made = Lectures(folder / "talk.mp4", folder / "garden.mp4", folder / "library")
    write_talk(made.talk)
    write_garden(made.garden)
    with VideoLibrary.open(made.library) as library:
        library.add(made.talk)
        library.add(made.garden)
    return made
