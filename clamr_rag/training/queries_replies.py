"""What comes back from a model, and how much of it is a query worth keeping."""

from __future__ import annotations

import base64
import io
import math
import os
import re
import secrets
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from clamr_rag.config import EncoderOptions
from clamr_rag.errors import AnswererError, UsageError
from clamr_rag.training.queries_prompts import TURN_BORDER, QueryOptions, Question, Script
from clamr_rag.types import ByteArray

if TYPE_CHECKING:
    from openai import OpenAI, OpenAIError

_NO_KEY = "none"
"""What a server of one's own is sent where no key is set: the package insists on one."""
_QUOTED_CHARACTERS = 300


# --- asking


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, and why it stopped."""

    text: str
    end: str
    """``"stop"``, ``"length"``, ``"content_filter"``, ``"refusal"``."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: tuple[_Choice, ...]


class ModelServer:
    """A model behind an OpenAI-compatible server; may be asked from several threads."""

    def __init__(self, options: QueryOptions) -> None:
        """Asks nothing yet.

        Raises:
            UsageError: The base URL cannot be one, or the key cannot be a key.
        """
        import openai

        self._options = options
        self._address = _address(options.base_url)
        self._client: OpenAI = openai.OpenAI(
            api_key=_key(),
            base_url=self._address,
            max_retries=options.retries,
            timeout=options.timeout_seconds,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def reply(self, question: Question) -> Reply:
        """Puts a question.

        Raises:
            AnswererError: No server, no key, no such model, a time-out, a broken reply.
            ClamrError: The pictures cannot be read.
        """
        from openai import OpenAIError

        body = self._body(question)
        try:
            return _reply(self._posted(body))
        except ValidationError:
            failure = AnswererError(
                f"{self._address} answered with something else than a chat completion",
                hint="is the base URL that of a model server's API? It mostly ends with /v1",
            )
        except OpenAIError as fault:
            failure = self._error(fault)
        # Past the handler, so that nothing is chained: the request holds the key.
        raise failure

    def _posted(self, body: dict[str, Any]) -> str:
        """Once more where the model takes an option under no such name."""
        from openai import BadRequestError

        while True:
            try:
                return self._client.post("/chat/completions", body=body, cast_to=str)
            except BadRequestError as fault:
                refused = fault.param if str(fault.code).startswith("unsupported") else None
                if refused not in ("max_tokens", "temperature", "seed") or refused not in body:
                    raise
                body = {name: value for name, value in body.items() if name != refused}
                if refused == "max_tokens":
                    body["max_completion_tokens"] = self._options.max_tokens

    def _body(self, question: Question) -> dict[str, Any]:
        system, user = question.marked(secrets.token_hex(6))
        content: str | list[dict[str, Any]] = user
        if question.pictured is not None:
            side = self._options.picture_side
            pictures = [_picture(frame, side) for frame in _frames(question, self._options)]
            content = [*pictures, {"type": "text", "text": user}]
        return {
            "model": self._options.model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": content},
            ],
            "max_tokens": self._options.max_tokens,
            "temperature": self._options.temperature,
            "seed": self._options.seed,
        }

    def _error(self, fault: OpenAIError) -> AnswererError:
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        name = f"{self._options.model} at {urlsplit(self._address).netloc}"
        if isinstance(fault, APITimeoutError):
            return AnswererError(
                f"{name} was silent for {self._options.timeout_seconds:g} s",
                hint="raise --timeout-seconds, or lower --concurrent",
            )
        if isinstance(fault, APIConnectionError):
            why = _without_key(str(fault.__cause__ or fault.message))
            return AnswererError(
                f"no server answers at {self._address}: {why}",
                hint="start it, or correct --base-url",
            )
        if isinstance(fault, APIStatusError):
            why = f"HTTP {fault.status_code}: {_without_key(_words(fault.body))}"
            return AnswererError(f"{name} wrote no query: {why}", hint=_hint(fault.status_code))
        return AnswererError(f"{name} wrote no query: {_without_key(str(fault))}")


def _reply(raw: str) -> Reply:
    completion = _Completion.model_validate_json(raw)
    if not completion.choices:
        return Reply("", "stop")
    choice = completion.choices[0]
    if choice.message.refusal:
        return Reply(choice.message.refusal, "refusal")
    return Reply(choice.message.content or "", choice.finish_reason or "stop")


def _words(body: object) -> str:
    """What a server says of its failure, wherever in its reply that stands."""
    while isinstance(body, Mapping):
        body = next((body[name] for name in ("error", "message", "detail") if body.get(name)), "")
    return str(body or "no reason given")


def _hint(status: int) -> str:
    if status in (401, 403):
        return "set OPENAI_API_KEY to a key that is valid there"
    if status in (404, 405):
        return "correct --base-url (it mostly ends with /v1) or --model"
    if status == 429:
        return "wait a while, lower --concurrent, or raise --retries"
    if status in (400, 413, 422):
        return "show it less: lower --characters or --num-examples; --pictures 0 if it cannot see"
    return "see the server's own log; the same command goes on from here"


def _address(given: str) -> str:
    """The base URL; one that has no path gets ``/v1``."""
    try:
        parts = urlsplit(given.strip())
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        # What stands before an @ may be a password.
        shown = given.rpartition("@")[2][:200]
        raise UsageError(
            f"--base-url {shown!r} is no server", allowed="one like http://127.0.0.1:8000/v1"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"--base-url of {parts.hostname} holds more than a host, a port and a path",
            hint="a key belongs into OPENAI_API_KEY",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def _key() -> str:
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            "OPENAI_API_KEY holds characters that no key has",
            allowed="letters, digits and signs on one line",
        )
    return key or _NO_KEY


def _without_key(text: str) -> str:
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    return (text.replace(key, "[key]") if key else text).strip()[:_QUOTED_CHARACTERS]


def _frames(question: Question, options: QueryOptions) -> tuple[ByteArray, ...]:
    # Opens videos: not needed where nothing is looked at.
    from clamr_rag.training.reading import read_clip

    assert question.pictured is not None
    return read_clip(question.pictured, (), EncoderOptions(max_frames=options.pictures)).frames


def _picture(pixels: ByteArray, side: int) -> dict[str, Any]:
    from PIL import Image

    picture, file = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    picture.save(file, "JPEG", quality=90)
    encoded = base64.b64encode(file.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}


# --- judging by rules

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:[-*•]\s+|\d{1,2}[.)]\s+|#+\s+)?[*_]*(?:(?:search )?query[*_]*\s*:[*_]*)?\s*",
    re.IGNORECASE,
)
_QUOTES = {"'": "'", '"': '"', "“": "”", "„": "“", "‘": "’", "«": "»", "`": "`", "「": "」"}
_MOST_CHARACTERS = 200
_COPIED_WORDS = 8
"""So many words in a row of the text are no query but a quotation."""

_NOTHING = frozenset(
    "n a|na|nan|none|null|nil|unknown|undefined|untitled|error|empty|blank|nothing|silence|music"
    "|video|query|search query|no query|not applicable|not available|empty video|blank video"
    "|no video|no title|no text|no speech|no audio|no sound|no ocr|no description|no content"
    "|no context|no information|missing context|missing text|missing video|missing information"
    "|insufficient context|insufficient information|not enough context".split("|")
)
_EXCUSE = re.compile(
    r"(?:i m |i am |we are )?sorry\b.*\b(?:but|cannot|can t|unable|no)\b"
    r"|(?:i |we )?(?:am |m |was )?(?:cannot|can t|could not|unable to) (?:write|generate|create"
    r"|provide|make|produce|determine|identify|see|access|form)\b"
    r"|as an ai\b"
    r"|(?:there (?:is|are|was|were) )?(?:no|not enough|insufficient|missing|lack of) (?:\w+ ){0,2}"
    r"(?:text|speech|context|content|information|transcript|description|title|video|ocr|material)"
    r"(?: \w+)?(?: (?:is|are|was|were|provided|given|available|detected)\b| found$)"
    r"|the (?:\w+ ){0,2}(?:text|speech|context|content|transcript|description|title|part|material)"
    r" (?:is|was|are) (?:empty|missing|blank|not (?:provided|available|given))"
)
_SIGN_OFF = re.compile(
    r"(?:thank you|thanks)(?: (?:so|very) much)? for (?:watching|listening|viewing)\b"
    r"|(?:please )?(?:(?:like|share|comment) (?:and )?)*(?:subscribe|hit the bell)"
    r"(?: (?:to|for) (?:my|our|the|this|more)\b.*)?$"
    r"|see you (?:next time|soon|in the next)\b"
)
_SIGN_OFF_WORDS = 6
_SOURCE = re.compile(
    r"\b(?:this (?:video|clip)|(?:this|the) (?:transcript|metadata|ocr|screen text))\b"
)
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_SCRIPTS: dict[Script, frozenset[str]] = {
    "chinese": frozenset({"CJK"}),
    "japanese": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
}
"""First words of the names of a script's letters, where they are not its own name."""
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without spaces between words."""


def cleaned(reply: str) -> str:
    """The query of a reply: no thoughts, label, bullet, markup or quotes around it.

    Line breaks stay, since a reply of several lines is none.
    """
    text = unicodedata.normalize("NFC", _THOUGHT.sub("", reply))
    joiners = "\u200c\u200d"
    hidden = ("Cf", "Co", "Cs")
    seen = (c for c in text if c in joiners or unicodedata.category(c) not in hidden)
    lines = [" ".join(line.split()) for line in "".join(seen).splitlines()]
    kept = "\n".join(line for line in lines if line)
    previous = None
    while kept != previous:
        previous, kept = kept, _unwrapped(_LEAD.sub("", kept).strip("*_ "))
    return kept


def _unwrapped(text: str) -> str:
    """Without one pair of quotes around the whole."""
    bare = text.rstrip(".") if text[:1] in _QUOTES and text.endswith(".") else text
    if len(bare) >= 2 and _QUOTES.get(bare[0]) == bare[-1] and bare[0] not in bare[1:-1]:
        return bare[1:-1].strip()
    return text


def why_none(reply: Reply) -> str | None:
    """Why a reply holds no query, by how it ended; None if it may."""
    return {
        "length": "cut off",
        "content_filter": "stopped by a filter",
        "refusal": "refused",
    }.get(reply.end)


def why_junk(query: str, text: str | None, options: QueryOptions) -> str | None:
    """Why a query is removed, by rules; None keeps it.

    Args:
        query: As `cleaned` leaves it.
        text: That it was written from; None for pictures.
        options: Longest and shortest, and the script.
    """
    said = words(query)
    flat = " ".join(said)
    if flat in _NOTHING or _EXCUSE.match(flat):
        return "says there is nothing"
    if not any(character.isalpha() for character in query):
        return "no words"
    if "\n" in query:
        return "several lines"
    if len(said) <= _SIGN_OFF_WORDS and _SIGN_OFF.match(flat):
        return "a phrase of farewell"
    if _LINK.search(query) or TURN_BORDER.search(query):
        return "an address or markup"
    if _SOURCE.search(flat):
        return "speaks of its source"
    if len(said) < options.min_words:
        return "too short"
    if len(said) > options.max_words or len(query) > _MOST_CHARACTERS:
        return "too long"
    if options.script is not None and not _is_of_script(query, options.script):
        return "another script"
    if len(said) >= _COPIED_WORDS and text and f" {flat} " in f" {' '.join(words(text))} ":
        return "copied"
    return None


def says_yes(reply: Reply) -> bool | None:
    """The verdict of a check; None if it is none."""
    said = words(cleaned(reply.text))[:1]
    return {"yes": True, "no": False}.get(said[0]) if said else None


def words(text: str) -> list[str]:
    """The words, case and punctuation folded; scripts without spaces letter by letter."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    spaced = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return _UNSPACED.sub(lambda found: f" {found[0]} ", spaced).split()


def _is_of_script(query: str, script: Script) -> bool:
    names = _SCRIPTS.get(script, frozenset({script.upper()}))
    letters = [c for c in unicodedata.normalize("NFKC", query) if c.isalpha()]
    own = sum(unicodedata.name(c, "?").split()[0].split("-")[0] in names for c in letters)
    return 2 * own >= len(letters)


# --- repeats

_EDGE = 1e-9
"""An overlap of 4 words in 5 is one of 0.8, whatever floats make of it."""


def repeats(queries: Sequence[str], overlap: float) -> list[bool]:
    """Of each query, whether an earlier one that is kept says the same.

    Two do if they have the same words, or if these overlap (intersection over union of the two
    sets) by at least ``overlap`` and they name the same numbers: "results of 2019" is not
    "results of 2020".
    """
    said = [frozenset(words(query)) for query in queries]
    counts = Counter(word for own in said for word in own)
    kept: dict[str, list[frozenset[str]]] = defaultdict(list)
    marks = []
    for own in said:
        prefix = _prefix(own, counts, overlap)
        is_repeat = any(_alike(own, other, overlap) for word in prefix for other in kept[word])
        marks.append(is_repeat)
        if not is_repeat:
            for word in prefix:
                kept[word].append(own)
    return marks


def _prefix(said: frozenset[str], counts: Mapping[str, int], overlap: float) -> list[str]:
    """Some words, of which two sets that overlap enough share one; rare ones first.

    The prefix filter of set joins (Chaudhuri et al. 2006): of two sets that share ``k`` words, each
    has a shared one among its first ``n - k + 1`` of ``n``, in any order that all sets keep.
    """
    ordered = sorted(said, key=lambda word: (counts[word], word)) or [""]
    shared = math.ceil(overlap * len(ordered) - _EDGE)
    return ordered[: len(ordered) - shared + 1]


def _alike(one: frozenset[str], other: frozenset[str], overlap: float) -> bool:
    num_shared = len(one & other)
    num_all = len(one) + len(other) - num_shared
    if num_shared < overlap * num_all - _EDGE:
        return False
    return not any(map(str.isdigit, "".join(one ^ other)))
