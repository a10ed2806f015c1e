"""``demo``: a video made by code, indexed, and asked; proof that an installation works."""

from __future__ import annotations

import json
import shlex
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.indexing import add_video
from clamr_rag.cli.invocation import Invocation
from clamr_rag.errors import UsageError

if TYPE_CHECKING:
    from clamr_rag.types import Answer

VIDEO_NAME = "northwind.mp4"
LIBRARY_NAME = "library"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what a right answer quotes."""

    text: str
    quote: str | None
    """Words of the evidence; None: the video does not tell, and the answer must say so."""
    source: str = ""
    """Label of the evidence's modality."""


QUESTIONS = (
    Question("Why did churn fall?", "because of the new onboarding", "speech"),
    Question("How much revenue did they make?", "Revenue: $4.2M", "on screen"),
    Question("In which city was this recorded?", "Recorded in Lisbon", "metadata"),
    Question("Who won the chess tournament in Reykjavik?", None),
)


def demo(
    invocation: Invocation,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Leave video and library in this folder."),
    ] = None,
) -> int:
    """Make a short video, index it, and ask it four questions."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clamr-rag-")))
        return _run_in(_made(folder), invocation, kept=keep is not None)


def is_right(question: Question, answer: Answer) -> bool:
    """Whether the evidence that the question is about is cited, from where it stands."""
    if question.quote is None:
        return answer.abstained
    return not answer.abstained and any(
        citation.modality.label == question.source and question.quote in (citation.text or "")
        for citation in answer.citations
    )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise UsageError(f"--keep {folder}: {fault.strerror}", allowed="a folder") from fault
    return folder.absolute()


def _run_in(folder: Path, invocation: Invocation, *, kept: bool) -> int:
    from clamr_rag.cli.demo_video import write_demo_video
    from clamr_rag.cli.json_output import ask_json, table_json
    from clamr_rag.cli.render import answer_lines, counted
    from clamr_rag.types import Modality

    terminal = invocation.terminal
    video = folder / VIDEO_NAME
    started = time.monotonic()
    length_seconds = write_demo_video(video)
    terminal.note(
        f"made {video.name}: {length_seconds:.0f} s in {time.monotonic() - started:.1f} s"
    )
    num_wrong, answers = 0, list[dict[str, Any]]()
    with _with_library(invocation, folder / LIBRARY_NAME).open_library(create=True) as library:
        report = add_video(invocation, library, video)
        clips = counted(report.num_clips, "clip")
        terminal.note(f"{report.status} {clips} in {report.elapsed_seconds:.1f} s")
        records = {record.video.video_id: record for record in library.videos()}
        reads_frames = Modality.VIDEO in library.encoder.reads
        # The answers are printed in any case: a wrong one is what a bug report needs.
        for question in QUESTIONS:
            answer = library.ask(question.text)
            answers.append(json.loads(ask_json(answer)))
            lines = answer_lines(answer, records, reads_frames=reads_frames, show_all=False)
            if not invocation.switches.json:
                terminal.say("", f'$ clamr-rag ask {video.name} "{question.text}"', *lines)
            if not is_right(question, answer):
                num_wrong += 1
                terminal.error(f"expected {question.quote or 'that the video does not tell'}")
    if invocation.switches.json:
        terminal.say_json(table_json("answers", answers))
    if kept:
        library_flag = f"--library {shlex.quote(str(folder / LIBRARY_NAME))}"
        terminal.note(f'ask more: clamr-rag ask {library_flag} {shlex.quote(str(video))} "..."')
    return exits.OK if not num_wrong else exits.INTERNAL


def _with_library(invocation: Invocation, folder: Path) -> Invocation:
    """The same call, but with a library of its own: a demo leaves the user's alone."""
    library = invocation.settings.library.model_copy(update={"path": str(folder)})
    return replace(invocation, settings=replace(invocation.settings, library=library))
