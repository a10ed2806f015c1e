"""Bringing files into a library from the command line: progress, Ctrl-C, warnings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from clamr_rag.cli.interrupt import GracefulInterrupt
from clamr_rag.cli.paths import is_there
from clamr_rag.cli.progress import make_view
from clamr_rag.cli.render import counted
from clamr_rag.errors import ClamrError, MediaError, UsageError

if TYPE_CHECKING:
    from clamr_rag.cli.invocation import Invocation
    from clamr_rag.index.records import VideoRecord
    from clamr_rag.index.store import Store
    from clamr_rag.ingest import Progress, VideoReport
    from clamr_rag.library import VideoLibrary


_INDEXING_STAGES = ("speech", "ocr", "scan", "segmentation", "index", "encoder")


def add_video(
    invocation: Invocation,
    library: VideoLibrary,
    path: Path,
    *,
    force: bool = False,
    any_options: bool = False,
    on_start: Callable[[], None] = lambda: None,
) -> VideoReport:
    """Adds one file, telling how far it is; the first Ctrl-C keeps everything that is finished.

    ``on_start`` is called when there turns out to be something to do.

    Raises:
        KeyboardInterrupt: Ctrl-C; the next call goes on from there.
        ClamrError: See `VideoLibrary.add`.
    """
    terminal = invocation.terminal
    view = make_view(invocation.switches.progress, terminal)
    known = known_of_file(library.store, path)
    reasons = ["its options or subtitles have changed"] if _is_indexed(known) else []
    starting = [on_start]
    with GracefulInterrupt() as interrupt, closing(view):

        def on_progress(progress: Progress) -> None:
            if starting:
                starting.pop()()
            if reasons and not force:
                terminal.note(f"indexing {path.name} again: {reasons.pop()}")
            view.show(progress)
            interrupt.check()

        try:
            report = library.add(
                path, force=force, any_options=any_options, on_progress=on_progress
            )
        except ClamrError:
            # Ctrl-C on a terminal reaches the decoder child, too: its end is no fault of the file.
            interrupt.check()
            raise
        interrupt.check()
    for warning in report.warnings:
        terminal.warn(f"{path.name}: {warning}")
    return report


def known_of_file(store: Store, path: Path) -> VideoRecord | None:
    """What the library knows of a file; None if nothing, or if it is no readable file."""
    from clamr_rag.ingest import record_of_file

    try:
        return record_of_file(store, path)
    except MediaError:
        return None


def _is_indexed(record: VideoRecord | None) -> bool:
    return record is not None and record.status == "indexed"


def resolve_videos(
    invocation: Invocation, library: VideoLibrary, references: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Returns the ids of the videos meant, indexing files that are not in the library yet.

    No reference means the whole library: None.

    Raises:
        UsageError: The library is empty, or no video goes by that name.
        ClamrError: A file cannot be indexed.
    """
    if not references:
        if not any(record.status == "indexed" for record in library.videos()):
            raise UsageError(
                f"the library {library.store.directory} holds no videos",
                hint="clamr-rag index VIDEO adds one",
            )
        return None
    return tuple(_resolve(invocation, library, reference) for reference in references)


def open_for(invocation: Invocation, references: tuple[str, ...]) -> VideoLibrary:
    """Opens the library to ask about some videos; makes it only if there is a file to add.

    Raises:
        MediaError: A file that cannot be read as a video; told before anything is loaded.
        UsageError: There is no library and nothing to make one from.
    """
    from clamr_rag.media import checked_video_path

    files = [reference for reference in references if is_there(reference)]
    for file in files:
        checked_video_path(file)
    try:
        return invocation.open_library(create=bool(files))
    except UsageError:
        for reference in references:
            explain_missing_file(reference)
        raise


def explain_missing_file(reference: str) -> None:
    """Raises MediaError if the word was meant as a file that is not there."""
    from clamr_rag.media import checked_video_path

    if not is_there(reference) and any(mark in reference for mark in "./\\:"):
        checked_video_path(reference)


def _resolve(invocation: Invocation, library: VideoLibrary, reference: str) -> str:
    if not is_there(reference):
        try:
            return library.find(reference).video.video_id
        except UsageError:
            explain_missing_file(reference)
            raise
    # A question takes a video as it was indexed, unless it says itself how to index.
    asked = any(given.origin.startswith("-") for given in invocation.settings.given
                if given.stage in _INDEXING_STAGES)  # fmt: skip
    report = add_video(invocation, library, Path(reference), any_options=not asked)
    if report.status != "unchanged":
        invocation.terminal.note(
            f"{Path(reference).name}: {report.status}, {counted(report.num_clips, 'clip')} in "
            f"{report.elapsed_seconds:.0f} s"
        )
    return report.video_id
