"""``ask`` and ``search``: a question to one video, several, or the whole library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.indexing import open_for, resolve_videos
from clamr_rag.cli.invocation import Invocation
from clamr_rag.cli.paths import is_there
from clamr_rag.errors import AnswererError, ClamrError, UsageError

if TYPE_CHECKING:
    from clamr_rag.library import VideoLibrary
    from clamr_rag.types import Answer

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[VIDEO]... QUESTION",
        help="Files, or ids of videos in the library; none is the whole library. "
        "The last word is the question: quote it.",
        show_default=False,
    ),
]


def ask(
    invocation: Invocation,
    words: Words,
    choice: Annotated[
        list[str] | None,
        typer.Option("--choice", help="An option of a multiple-choice question; repeat it."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Also show the weaker moments that were found.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print a model's answer while it is written.")
    ] = False,
) -> int:
    """Answer a question from videos, with citations.

    A file that is not in the library yet is indexed first, once.
    """
    if stream and invocation.switches.json:
        raise UsageError("--stream with --json", allowed="one of them")
    references, question = split_words(words)
    choices = _checked_choices(choice)
    with open_for(invocation, references) as library:
        video_ids = resolve_videos(invocation, library, references)
        say_piece = invocation.terminal.say_piece if stream else None
        try:
            answer = library.ask(question, choices=choices, videos=video_ids, on_text=say_piece)
        except ClamrError as error:
            # Searching went well: what it found is not lost with the answer.
            invocation.terminal.end_pieces()
            if error.clips or isinstance(error, AnswererError):
                _say_clips_of(error, invocation, library, question)
            raise
        finally:
            invocation.terminal.end_pieces()
        _say_answer(answer, invocation, library, show_all=show_all, streamed=stream)
    return _exit_code(invocation, found=not answer.abstained)


def _say_answer(
    answer: Answer, invocation: Invocation, library: VideoLibrary, *, show_all: bool, streamed: bool
) -> None:
    encoder = library.encoder
    if invocation.switches.json:
        from clamr_rag.cli.json_output import ask_json

        invocation.terminal.say_json(ask_json(answer, running_on=encoder.running_on))
        return
    from clamr_rag.cli.render import answer_lines

    # A reader may find in the clips what the model did not.
    declined = answer.abstained and answer.answerer != "extractive"
    lines = answer_lines(
        answer,
        {record.video.video_id: record for record in library.videos()},
        reads_frames=_reads_frames(library),
        show_all=show_all or declined,
        running_on=encoder.running_on,
        streamed=streamed,
    )
    invocation.terminal.say(*lines)
    if answer.reason:
        invocation.terminal.note(f"no answer: {answer.reason}")
    for note in answer.notes:
        invocation.terminal.note(note)


def _say_clips_of(
    error: ClamrError, invocation: Invocation, library: VideoLibrary, question: str
) -> None:
    """Shows the clips that were found although they were not answered from."""
    encoder = library.encoder
    if invocation.switches.json:
        from clamr_rag.cli.json_output import ask_failed_json

        told = ask_failed_json(question, error, encoder=encoder.name, running_on=encoder.running_on)
        invocation.terminal.say_json(told)
    else:
        from clamr_rag.cli.render import clip_lines

        invocation.terminal.say(*clip_lines(error.clips))


def search(invocation: Invocation, words: Words) -> int:
    """Find the moments that match a question, without answering it."""
    references, question = split_words(words)
    with open_for(invocation, references) as library:
        video_ids = resolve_videos(invocation, library, references)
        clips = library.search(question, videos=video_ids)
        encoder = library.encoder
    if invocation.switches.json:
        from clamr_rag.cli.json_output import search_json

        invocation.terminal.say_json(
            search_json(question, clips, encoder=encoder.name, running_on=encoder.running_on)
        )
    else:
        from clamr_rag.cli.render import clip_lines

        invocation.terminal.say(*clip_lines(clips))
        if not clips:
            invocation.terminal.note("nothing found")
    return _exit_code(invocation, found=bool(clips))


def split_words(words: list[str]) -> tuple[tuple[str, ...], str]:
    """The last word is the question, the others are videos.

    Raises:
        UsageError: There is no question.
    """
    *references, question = words
    if not any(letter.isprintable() and not letter.isspace() for letter in question):
        raise UsageError("a blank question", hint='clamr-rag ask VIDEO "What is said about churn?"')
    # The commonest slip: `ask lecture.mp4`, and the file's name would be the question.
    if is_there(question):
        raise UsageError(
            f"a file, {question}, but no question",
            hint='clamr-rag ask VIDEO "What is said about churn?"',
        )
    return tuple(references), question


def _checked_choices(choices: list[str] | None) -> tuple[str, ...]:
    """Options of a multiple-choice question have letters: two at least, as many as the alphabet."""
    if not choices:
        return ()
    if not 2 <= len(choices) <= 26 or not all(choice.strip() for choice in choices):
        raise UsageError(
            f"{len(choices)} x --choice", allowed="2 to 26 options, none of them blank"
        )
    return tuple(choices)


def _reads_frames(library: VideoLibrary) -> bool:
    from clamr_rag.types import Modality

    return Modality.VIDEO in library.encoder.reads


def _exit_code(invocation: Invocation, *, found: bool) -> int:
    missed = invocation.switches.fail_if_empty and not found
    return exits.NOTHING_FOUND if missed else exits.OK
