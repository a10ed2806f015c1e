"""``index``: many files into the library; one that fails does not stop the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.indexing import add_video, known_of_file
from clamr_rag.cli.invocation import Invocation
from clamr_rag.cli.paths import Wanted, expand, is_folder, parse_extensions
from clamr_rag.cli.render import counted
from clamr_rag.errors import ClamrError, ExtractionError, MediaError, OutOfMemoryError, UsageError

if TYPE_CHECKING:
    from clamr_rag.encoder import Encoder
    from clamr_rag.ingest import VideoReport
    from clamr_rag.library import VideoLibrary

_ABOUT_ONE_FILE = (MediaError, ExtractionError, OutOfMemoryError)
"""Errors that say nothing about the next file; any other one ends the run."""
_ACTIONS = {"indexed": "unchanged", "indexing": "resume", "failed": "retry"}
"""What would be done with a file of that status."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    path: str
    elapsed_seconds: float
    report: VideoReport | None = None
    """None if it failed."""
    error: str | None = None
    """Why it failed."""


def index(
    invocation: Invocation,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, patterns, folders (-r), or - for a list."),
    ],
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Search folders and all folders in them.")
    ] = False,
    ext: Annotated[
        list[str] | None,
        typer.Option("--ext", help="Kinds of files taken from a folder, e.g. mp4,mkv."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Pattern of names in a folder to leave out; repeat it."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Index again, even what has not changed.")
    ] = False,
    abort_on_error: Annotated[
        bool, typer.Option("--abort-on-error", help="Stop at the first file that fails.")
    ] = False,
) -> int:
    """Add videos to the library; what is there already is left alone."""
    wanted = Wanted(recursive, parse_extensions(ext or ()), tuple(exclude or ()))
    files = expand(paths, wanted, sys.stdin if "-" in paths else ())
    if not files:
        raise UsageError(
            "no video among the paths", hint="--ext says which files of a folder count"
        )
    if dry_run:
        return _plan(invocation, files)
    batch = _Batch(invocation, force=force, abort_on_error=abort_on_error)
    try:
        with invocation.open_library(create=True) as library:
            batch.run(library, files)
    finally:
        # Also after Ctrl-C or a full disk: what is done is done, and programs want to know it.
        batch.tell()
    return batch.exit_code(len(files))


class _Batch:
    """The outcomes of one run over many files."""

    def __init__(self, invocation: Invocation, *, force: bool, abort_on_error: bool) -> None:
        self._invocation = invocation
        self._force = force
        self._abort_on_error = abort_on_error
        self._outcomes: list[Outcome] = []
        self._first_error: ClamrError | None = None
        self._encoder: Encoder | None = None

    def run(self, library: VideoLibrary, files: Sequence[Path]) -> None:
        """Adds one file after the other."""
        for file in files:
            self._add(library, file)
            if self._first_error is not None and self._abort_on_error:
                return

    def tell(self) -> None:
        """Prints the outcomes; for people also a summary on stderr."""
        terminal = self._invocation.terminal
        if self._invocation.switches.json:
            from clamr_rag.cli.json_output import index_json

            name = self._encoder.name if self._encoder else None
            running_on = self._encoder.running_on if self._encoder else None
            terminal.say_json(index_json(self._outcomes, encoder=name, running_on=running_on))
            return
        failed = sum(outcome.report is None for outcome in self._outcomes)
        if len(self._outcomes) > 1:
            done = counted(len(self._outcomes) - failed, "video")
            terminal.note(f"{done} in the library, {failed} failed")

    def exit_code(self, num_files: int) -> int:
        """The error's own code for a single file, else 3 if any failed."""
        if self._first_error is None:
            return exits.OK
        return self._first_error.exit_code if num_files == 1 else exits.SOME_FAILED

    def _add(self, library: VideoLibrary, file: Path) -> None:
        started = time.monotonic()
        try:
            _refuse_folder(file)
            report = add_video(
                self._invocation,
                library,
                file,
                force=self._force,
                on_start=lambda: self._say_encoder(library.encoder),
            )
            self._encoder = library.encoder
        except ClamrError as error:
            self._first_error = self._first_error or error
            elapsed = time.monotonic() - started
            self._outcomes.append(Outcome(str(file), elapsed, error=str(error)))
            if not isinstance(error, _ABOUT_ONE_FILE):
                raise  # a full disk, a lock: the next file would meet it, too
            self._invocation.terminal.error(str(error))
            return
        self._outcomes.append(Outcome(str(file), report.elapsed_seconds, report))
        if not self._invocation.switches.json:
            self._invocation.terminal.say(
                f"{report.video_id[:8]}  {report.status:<9}  {report.num_clips:>5} clips  {file}"
            )

    def _say_encoder(self, encoder: Encoder) -> None:
        """Says once, before the first progress, with what the videos are read."""
        if self._encoder is None:
            self._encoder = encoder
            if self._invocation.switches.progress == "auto":
                said = f"encoder {encoder.name} on {encoder.running_on}"
                self._invocation.terminal.note(said)


def _refuse_folder(path: Path) -> None:
    if is_folder(path):
        raise MediaError(f"{str(path)!r} is a folder", hint="-r indexes the videos in it")


def _plan(invocation: Invocation, files: Sequence[Path]) -> int:
    """Says per file what would be done; makes no library and reads no video."""
    from clamr_rag.cli.settings import library_folder
    from clamr_rag.index.store import Store
    from clamr_rag.media import checked_video_path

    plans: list[tuple[str, str, int]] = []
    code = exits.OK
    with ExitStack() as stack:
        store = None
        with suppress(UsageError):  # no library yet: everything is new
            folder = library_folder(invocation.settings.library)
            store = stack.enter_context(Store.open(folder, create=False))
        for file in files:
            try:
                _refuse_folder(file)
                size_bytes = checked_video_path(file).stat().st_size
            except MediaError as error:
                invocation.terminal.error(str(error))
                code = error.exit_code if len(files) == 1 else exits.SOME_FAILED
                continue
            record = known_of_file(store, file) if store else None
            plans.append((str(file), _ACTIONS[record.status] if record else "index", size_bytes))
    if invocation.switches.json:
        from clamr_rag.cli.json_output import plan_json

        invocation.terminal.say_json(plan_json(plans))
    else:
        invocation.terminal.say(
            *(f"{action:<9}  {size / 1e6:>8.1f} MB  {path}" for path, action, size in plans)
        )
    return code
