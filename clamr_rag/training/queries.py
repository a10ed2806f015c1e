"""Writes search queries for clips by a model: ``python -m clamr_rag.training.queries --help``.

Each query is written from one part of a clip (its title, pictures, speech, screen text or
description) and from no other, as for MultiVENT 2.0++ in arXiv 2506.06144, section 4. In the folder
of the run are:

- ``pairs.jsonl``: a training pair per query, for ``clamr_rag.training.train --pairs``;
- ``queries.json``: the released form, one query per id: ``{id: {query, query_type}}``;
- ``removed.jsonl``: what was removed, and why;
- ``replies.jsonl``: every reply as it came. A run that was stopped goes on from it by itself and
  asks nothing twice; the other files follow from it and the options.

Read `write_queries`: it is the whole run from top to bottom.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import random
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clamr_rag.errors import ClamrError, DiskFullError, UsageError
from clamr_rag.index.lock import ProcessLock
from clamr_rag.training.data import TrainingPair
from clamr_rag.training.jsonl import first_fault
from clamr_rag.training.queries_prompts import (
    Example,
    QueryOptions,
    QueryType,
    Question,
    Subject,
    checking_question,
    drawn_examples,
    read_examples,
    read_subjects,
    writing_question,
)
from clamr_rag.training.queries_replies import (
    ModelServer,
    Reply,
    cleaned,
    repeats,
    says_yes,
    why_junk,
    why_none,
)

PAIRS_FILE, RELEASED_FILE = "pairs.jsonl", "queries.json"
REMOVED_FILE, REPLIES_FILE = "removed.jsonl", "replies.jsonl"
_LOCK_FILE = "queries.lock"
_INTERRUPTED = 130
_TOLD_EVERY = 100
_RELEASED_WORDS: Mapping[QueryType, str] = {
    "base": "video",
    "video": "video",
    "speech": "speech",
    "ocr": "ocr",
    "description": "description",
}
_ALIASES = {"asr": "speech"}

_log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A query that a model wrote for a subject."""

    subject: Subject
    query_type: QueryType
    query: str
    removed: str | None = None
    """Why it is removed; None keeps it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the queries of one type."""

    query_type: QueryType
    num_kept: int
    removed: Mapping[str, int]
    """Number of queries per reason, the most frequent one first."""
    num_without: int
    """Subjects that have nothing of this type to show."""

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {reason}" for reason, count in self.removed.items())
        num_asked = self.num_kept + sum(self.removed.values())
        told = f"{self.query_type}: {num_asked} written, {self.num_kept} kept"
        told += f"; removed: {lost}" if lost else ""
        return told + (f"; {self.num_without} had none" if self.num_without else "")


def write_queries(options: QueryOptions) -> tuple[Tally, ...]:
    """Writes the queries of a library or a file of clips into the folder of the run.

    The outcome depends on the replies alone, not on how many are asked for at a time.

    Returns:
        A tally per type, in the order of the options.

    Raises:
        UsageError: Options, library, data or folder cannot be used.
        LibraryLockedError: Another process writes to the folder.
        AnswererError: The server cannot be reached, or gives no reply; the same call goes on later.
        MediaError: Pictures are wanted of a file that cannot be read.
    """
    examples = read_examples(options.examples)
    _check_folder(options)
    subjects = tuple(islice(read_subjects(options), options.limit))
    if not subjects:
        raise UsageError(f"{options.library or options.data} has no clips")
    with _own_folder(options.out), ModelServer(options) as server:
        with Ledger(options.out / REPLIES_FILE) as ledger:
            writer = Writer(ledger, server.reply, examples, options)
            tasks = [(subject, kind) for subject in subjects for kind in options.types]
            drafts = _told(_in_order(writer.draft, tasks, options.concurrent), len(tasks))
            judged = without_repeats([d for d in drafts if d is not None], options.overlap)
        _write_outputs(judged, options)
    return _tallies(judged, len(subjects), options.types)


class Writer:
    """Asks for queries and judges them; may be called from several threads."""

    def __init__(
        self,
        ledger: Ledger,
        ask: Callable[[Question], Reply],
        examples: Mapping[QueryType, Sequence[Example]],
        options: QueryOptions,
    ) -> None:
        """Asks nothing yet."""
        self._ledger, self._ask = ledger, ask
        self._examples, self._options = examples, options

    def draft(self, task: tuple[Subject, QueryType]) -> Draft | None:
        """A query from one part of a subject; None where it has no such part."""
        subject, kind = task
        options = self._options
        examples = drawn_examples(self._examples[kind], subject, kind, options)
        question = writing_question(subject, kind, examples, options)
        if question is None:
            return None
        reply = self._reply(question)
        query = cleaned(reply.text)
        reason = why_none(reply) or why_junk(query, subject.parts.get(kind), options)
        if reason is None and options.check:
            verdict = says_yes(self._reply(checking_question(subject, kind, query, options)))
            reason = {True: None, False: "does not fit", None: "no clear verdict"}[verdict]
        return Draft(subject, kind, query, reason)

    def _reply(self, question: Question) -> Reply:
        key = question.key(self._options)
        known = self._ledger.get(key)
        if known is None:
            known = self._ask(question)
            self._ledger.put(key, known)
        return known


def without_repeats(drafts: Sequence[Draft], overlap: float) -> list[Draft]:
    """Marks those as removed that repeat an earlier one that is kept, of whatever clip or type."""
    kept = [number for number, draft in enumerate(drafts) if draft.removed is None]
    marks = repeats([drafts[number].query for number in kept], overlap)
    repeated = {number for number, is_repeat in zip(kept, marks, strict=True) if is_repeat}
    return [
        replace(draft, removed="repeats another") if number in repeated else draft
        for number, draft in enumerate(drafts)
    ]


# --- many at a time


def _in_order(work: Callable[[T], R], tasks: Iterable[T], concurrent: int) -> Iterator[R]:
    """Results in the order of the tasks; after a failure no new task is begun."""
    with ThreadPoolExecutor(concurrent) as pool:
        running: deque[Future[R]] = deque()
        try:
            for task in tasks:
                # Some more than run at once, so that a slow one does not hold up the others.
                if len(running) >= 4 * concurrent:
                    yield running.popleft().result()
                running.append(pool.submit(work, task))
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _told(drafts: Iterable[T], total: int) -> Iterator[T]:
    for number, draft in enumerate(drafts, 1):
        if number % _TOLD_EVERY == 0:
            _log.info("%d of %d", number, total)
        yield draft


# --- what is kept on disk


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    key: str
    reply: str
    end: str


class Ledger:
    """Replies by the key of their question, each written through to disk as one line."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; the rest of a line whose writing was cut off is dropped.

        Raises:
            UsageError: A line is none of a ledger.
        """
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}
        num_bytes = 0
        for number, line in enumerate(_whole_lines(path), 1):
            self._replies |= _entry(line, f"{path} line {number}")
            num_bytes += len(line)
        self._file = path.open("ab", buffering=0)
        self._file.truncate(num_bytes)

    def get(self, key: str) -> Reply | None:
        """The reply to a question that was put before; None for a new one."""
        return self._replies.get(key)

    def put(self, key: str, reply: Reply) -> None:
        """Keeps a reply; it lasts once this has returned."""
        entry = {"key": key, "reply": reply.text, "end": reply.end}
        line = f"{json.dumps(entry)}\n".encode()
        with self._lock:
            self._replies[key] = reply
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def _whole_lines(path: Path) -> list[bytes]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines


def _entry(line: bytes, place: str) -> dict[str, Reply]:
    try:
        entry = _Entry.model_validate_json(line)
    except ValidationError as error:
        raise UsageError(
            f"{place} is no reply: {first_fault(error)}", hint="remove the line: it is asked again"
        ) from None
    return {entry.key: Reply(entry.reply, entry.end)}


def _check_folder(options: QueryOptions) -> None:
    """Refuses a folder with anything but an earlier run in it, and to write over its own input."""
    out = options.out
    outputs = {(out / name).absolute() for name in (PAIRS_FILE, RELEASED_FILE, REMOVED_FILE)}
    if any(given and given.absolute() in outputs for given in (options.data, options.examples)):
        raise UsageError(f"{out} holds the file that is to be read", allowed="another --out")
    try:
        names = {path.name for path in out.iterdir()} if out.exists() else set()
    except OSError as error:
        raise UsageError(f"--out {out} cannot be used: {error.strerror}") from error
    strange = {name for name in names if not name.startswith(_LOCK_FILE)}
    if strange and REPLIES_FILE not in names:
        raise UsageError(
            f"{out} is there already", allowed="a new or empty folder, or that of an earlier run"
        )


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other processes from writing to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be made: {error.strerror}") from error
    lock = ProcessLock(
        folder / _LOCK_FILE,
        purpose=f"writing queries to {folder}",
        hint="wait until it is done, or take another --out",
    )
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write_outputs(drafts: Sequence[Draft], options: QueryOptions) -> None:
    kept = [draft for draft in drafts if draft.removed is None]
    removed = [_line(_removed_row(draft)) for draft in drafts if draft.removed is not None]
    _replace_file(options.out / REMOVED_FILE, "".join(removed))
    _replace_file(options.out / PAIRS_FILE, "".join(_line(_pair_row(draft)) for draft in kept))
    released = json.dumps(_released(kept, options.seed), indent=1)
    _replace_file(options.out / RELEASED_FILE, f"{released}\n")


def _line(row: Mapping[str, Any]) -> str:
    return f"{json.dumps(row)}\n"


def _removed_row(draft: Draft) -> dict[str, Any]:
    return {
        "video_id": draft.subject.pair.video_id,
        "query_type": draft.query_type,
        "query": draft.query,
        "reason": draft.removed,
    }


def _pair_row(draft: Draft) -> dict[str, Any]:
    """A line in the form that `clamr_rag.training.jsonl` reads; files by their whole path."""
    pair: TrainingPair = draft.subject.pair
    row = {
        "query": draft.query,
        "modality": draft.query_type,
        "video_id": pair.video_id,
        "video": str(pair.video) if pair.video else None,
        "start_seconds": pair.span.start_seconds if pair.span else None,
        "stop_seconds": pair.span.stop_seconds if pair.span else None,
        "frames": [str(path) for path in pair.frames] or None,
        "frame_seconds": list(pair.frame_seconds) if pair.frame_seconds else None,
        "ocr": pair.ocr,
        "asr": pair.asr,
        "description": pair.description,
    }
    return {name: value for name, value in row.items() if value is not None}


def _released(kept: Iterable[Draft], seed: int) -> dict[str, dict[str, str]]:
    """The released form has room for one query per id: a fixed draw, so that all types occur."""
    of_id: dict[str, list[Draft]] = {}
    for draft in kept:
        of_id.setdefault(draft.subject.pair.video_id, []).append(draft)
    chosen = {name: random.Random(f"{seed}/{name}").choice(own) for name, own in of_id.items()}
    return {
        name: {"query": draft.query, "query_type": _RELEASED_WORDS[draft.query_type]}
        for name, draft in chosen.items()
    }


def _replace_file(path: Path, text: str) -> None:
    """Writes a file as a whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _tallies(
    drafts: Sequence[Draft], num_subjects: int, types: Sequence[QueryType]
) -> tuple[Tally, ...]:
    found = []
    for kind in types:
        own = [draft for draft in drafts if draft.query_type == kind]
        reasons = Counter(draft.removed for draft in own if draft.removed is not None)
        num_kept = len(own) - reasons.total()
        found.append(Tally(kind, num_kept, dict(reasons.most_common()), num_subjects - len(own)))
    return tuple(found)


# --- the command


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the rest of the package does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint="see --help")


def options_of(arguments: Sequence[str]) -> QueryOptions:
    """Reads options; every flag is a field of the options.

    Raises:
        UsageError: A flag or a value that is not allowed; names it.
    """
    parser = _Parser(
        prog="python -m clamr_rag.training.queries",
        description="Writes search queries for clips by a model, each from one part of a clip.",
        epilog="The key of the server is read from OPENAI_API_KEY.",
        allow_abbrev=False,
    )
    for name, field in QueryOptions.model_fields.items():
        shown = "" if field.is_required() else f" [{_shown(field.default)}]"
        is_switch = field.annotation is bool
        kind: dict[str, Any] = {"metavar": name.upper()}
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            required=field.is_required(),
            default=argparse.SUPPRESS,
            help=f"{field.description}{shown}".replace("%", "%%"),
            **({"action": argparse.BooleanOptionalAction} if is_switch else kind),
        )
    values = vars(parser.parse_args(arguments))
    if "types" in values:
        given = [word.strip().lower() for word in values["types"].split(",") if word.strip()]
        # In the order given, each once.
        values["types"] = tuple(dict.fromkeys(_ALIASES.get(word, word) for word in given))
    try:
        return QueryOptions.model_validate(values)
    except ValidationError as error:
        raise UsageError(first_fault(error), hint="see --help") from None


def _shown(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # Not of the server's package, which tells of each request.
    _log.setLevel(logging.INFO)
    try:
        options = options_of(sys.argv[1:] if arguments is None else arguments)
        tallies = write_queries(options)
    except ClamrError as error:
        _log.error("error: %s", error)
        return error.exit_code
    except KeyboardInterrupt:
        _log.error("error: interrupted; the same command goes on from here")
        return _INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        full = DiskFullError("no space left", hint="free some; the same command goes on from here")
        _log.error("error: %s", full)
        return full.exit_code
    for tally in tallies:
        sys.stdout.write(f"{tally}\n")
    sys.stdout.write(f"{sum(tally.num_kept for tally in tallies)} pairs: {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
