"""``ls``, ``info``, ``rm`` and ``verify``: looking after a library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.indexing import explain_missing_file, known_of_file
from clamr_rag.cli.invocation import Invocation
from clamr_rag.cli.paths import is_there
from clamr_rag.cli.render import counted, info_lines, video_lines
from clamr_rag.errors import UsageError

if TYPE_CHECKING:
    from clamr_rag.index.records import VideoRecord
    from clamr_rag.library import VideoLibrary


def ls(invocation: Invocation) -> int:
    """List the videos of the library."""
    with invocation.open_library(create=False) as library:
        records = library.videos()
    if invocation.switches.json:
        from clamr_rag.cli.json_output import ls_json

        invocation.terminal.say_json(ls_json(records))
    else:
        invocation.terminal.say(*video_lines(records))
        if not records:
            invocation.terminal.note("the library is empty; clamr-rag index VIDEO adds one")
    missed = invocation.switches.fail_if_empty and not records
    return exits.NOTHING_FOUND if missed else exits.OK


def info(
    invocation: Invocation,
    video: Annotated[str, typer.Argument(help="A file, in the library or not, or a video's id.")],
) -> int:
    """Show what a video holds and what is known of it."""
    from clamr_rag.media import probe

    record = _record_of(invocation, video)
    path = video if is_there(video) or record is None else record.video.path
    file = probe(path, invocation.settings.options.media) if is_there(path) else None
    if invocation.switches.json:
        from clamr_rag.cli.json_output import info_json

        invocation.terminal.say_json(info_json(path, record, file))
    else:
        invocation.terminal.say(*info_lines(record, file))
    return exits.OK


def rm(
    invocation: Invocation,
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="VIDEO...", help="Ids, paths or file names.")
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="All videos whose file is no longer there.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """Remove videos from the library; the files themselves stay."""
    if bool(videos) == missing:
        raise UsageError("no video named" if not missing else "videos and --missing",
                         allowed="either VIDEO... or --missing")  # fmt: skip
    with invocation.open_library(create=False) as library:
        records = _missing_videos(library) if missing else _named(library, videos or [])
        if records and not yes:
            _confirm(invocation, records)
        for record in records:
            library.remove(record.video.video_id)
    if invocation.switches.json:
        from clamr_rag.cli.json_output import rm_json

        invocation.terminal.say_json(rm_json([record.video.video_id for record in records]))
    else:
        invocation.terminal.say(
            *(f"removed {r.video.video_id[:8]}  {r.video.path}" for r in records)
        )
        if not records:
            invocation.terminal.note("nothing to remove")
    return exits.OK


def verify(invocation: Invocation) -> int:
    """Check every stored byte of the library against its checksum."""
    with invocation.open_library(create=False) as library:
        problems = library.verify()
        num_videos = len(library.videos()) if not problems else 0
    if invocation.switches.json:
        from clamr_rag.cli.json_output import verify_json

        invocation.terminal.say_json(verify_json(problems))
    elif problems:
        invocation.terminal.say(*(f"{p.where}: {p.what}; {p.repair}" for p in problems))
    else:
        invocation.terminal.say(f"{counted(num_videos, 'video')}, nothing wrong")
    return exits.DAMAGED if problems else exits.OK


def _record_of(invocation: Invocation, reference: str) -> VideoRecord | None:
    """The library's record of a video; None for a file that is not in it.

    A file is known by its content, since it may have been moved or changed.
    """
    from clamr_rag.media import checked_video_path

    file = checked_video_path(reference) if is_there(reference) else None
    try:
        with invocation.open_library(create=False) as library:
            if file is None:
                return library.find(reference)
            return known_of_file(library.store, file)
    except UsageError:
        if file is not None:
            return None
        explain_missing_file(reference)
        raise


def _missing_videos(library: VideoLibrary) -> list[VideoRecord]:
    return [record for record in library.videos() if not is_there(record.video.path)]


def _named(library: VideoLibrary, references: list[str]) -> list[VideoRecord]:
    """The videos named, each once."""
    found = {record.video.video_id: record for record in map(library.find, references)}
    return list(found.values())


def _confirm(invocation: Invocation, records: list[VideoRecord]) -> None:
    """Asks on a terminal; elsewhere nobody could answer."""
    # A script that forgot -y must not hang, and must not delete.
    if not sys.stdin.isatty():
        raise UsageError("nobody to ask whether to remove", hint="-y removes without asking")
    for line in video_lines(records):
        invocation.terminal.err.print(line)
    count = "this video" if len(records) == 1 else f"these {len(records)} videos"
    if not typer.confirm(f"Remove {count} from the library?", err=True):
        raise UsageError("the answer no", hint="nothing was removed")
