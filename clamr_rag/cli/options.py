"""The command line's options: switches of the command, and flags derived from `clamr_rag.config`.

No default of a stage is written here: a flag that is not given is None, and its help text, its
words and its default are read from the option's declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import Parameter, Signature
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import typer
from pydantic.fields import FieldInfo

from clamr_rag.cli.settings import Setting, allowed_words, field_of, parse_assignment
from clamr_rag.errors import UsageError

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "--library": "library.path",
        "--encoder": "library.encoder",
        "--adapter": "library.adapter",
        "--device": "library.device",
        "--dtype": "library.dtype",
        "--speech": "speech.speech",
        "--asr-model": "speech.asr_model",
        "--language": "speech.language",
        "--ocr": "ocr.ocr",
        "--segmenter": "segmentation.segmenter",
        "--min-seconds": "segmentation.min_seconds",
        "--max-seconds": "segmentation.max_seconds",
        "--top-k": "search.top_k",
        "--scorer": "search.scorer",
        "--candidates": "search.candidates",
        "--chroma-url": "search.chroma_url",
        "--num-candidates": "search.num_candidates",
        "--answerer": "answer.answerer",
        "--base-url": "answer.base_url",
        "--frames": "answer.frames",
        "--abstain-below": "answer.abstain_below",
    }
)
"""The options with a flag of their own; ``--set`` reaches all others."""

PANELS: Mapping[str, str] = MappingProxyType(
    {
        "library": "Library and encoder",
        "speech": "Indexing",
        "ocr": "Indexing",
        "segmentation": "Indexing",
        "search": "Searching",
        "answer": "Answering",
    }
)
"""Heading of each stage's flags in a command's help; also the stages that have flags."""

_COMMON = "Common"


@dataclass(frozen=True, slots=True)
class Switches:
    """What every command takes, before or after its name, beside the options of the stages."""

    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object instead of text.", rich_help_panel=_COMMON
        ),
    ] = False
    fail_if_empty: Annotated[
        bool,
        typer.Option(
            "--fail-if-empty", help="Exit with 5 if nothing is found.", rich_help_panel=_COMMON
        ),
    ] = False
    progress: Annotated[
        str,
        typer.Option(
            "--progress",
            metavar="auto|json|none",
            help="Progress on stderr: for people, as JSON lines, or not at all.",
            rich_help_panel=_COMMON,
        ),
    ] = "auto"
    quiet: Annotated[
        bool,
        typer.Option("-q", "--quiet", help="No progress and no notes.", rich_help_panel=_COMMON),
    ] = False
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Say what is done.", rich_help_panel=_COMMON),
    ] = False
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Log everything and show where an error arose.", rich_help_panel=_COMMON
        ),
    ] = False
    log_file: Annotated[
        str | None,
        typer.Option(
            "--log-file", metavar="FILE", help="Append a full log.", rich_help_panel=_COMMON
        ),
    ] = None
    color: Annotated[
        str,
        typer.Option(
            "--color", metavar="auto|always|never", help="Colours.", rich_help_panel=_COMMON
        ),
    ] = "auto"
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Never ask a model hub, even for a model that is missing.",
            rich_help_panel=_COMMON,
        ),
    ] = False  # fmt: skip
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.NAME=VALUE",
            help="Any other option that `clamr-rag config show` lists; may be repeated.",
            rich_help_panel=_COMMON,
        ),
    ] = None

    def __post_init__(self) -> None:
        _check_word("--progress", self.progress, ("auto", "json", "none"))
        _check_word("--color", self.color, ("auto", "always", "never"))

    def over(self, weaker: Switches) -> Switches:
        """These switches where they were given, else those before the command's name."""
        return Switches(
            **{
                field.name: mine if mine != field.default else getattr(weaker, field.name)
                for field in fields(self)
                for mine in [getattr(self, field.name)]
            }
        )


@dataclass(frozen=True, slots=True)
class Given:
    """What stands on the command line beside a command's own arguments."""

    switches: Switches
    flags: tuple[Setting, ...] = ()
    """The strongest first."""

    def over(self, weaker: Given) -> Given:
        """Both together; what stands after the command's name wins."""
        return Given(self.switches.over(weaker.switches), self.flags + weaker.flags)


def keyword(name: str, annotation: Any, default: Any) -> Parameter:
    """A parameter that typer reads as an option."""
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def with_parameters(function: Callable[..., None], parameters: Sequence[Parameter]) -> None:
    """Gives a ``**arguments`` function the signature that typer reads the options from."""
    context = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    whole = [context, *(p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters)]
    function.__signature__ = Signature(whole)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in whole}


def option_parameters(stages: Collection[str]) -> list[Parameter]:
    """Parameters for a command's signature: the flags of some stages, then the switches."""
    hints = get_type_hints(Switches, include_extras=True)
    switches = [keyword(field.name, hints[field.name], field.default) for field in fields(Switches)]
    flags = [
        keyword(_parameter_name(flag), _flag_annotation(flag), None)
        for flag, key in FLAGS.items()
        if key.partition(".")[0] in stages
    ]
    return flags + switches


def take_options(arguments: dict[str, Any]) -> Given:
    """Takes what `option_parameters` declared out of a command's arguments.

    Raises:
        UsageError: A switch with a word that it does not know.
    """
    switches = Switches(**{field.name: arguments.pop(field.name) for field in fields(Switches)})
    flags = []
    for flag, key in FLAGS.items():
        value = arguments.pop(_parameter_name(flag), None)
        if value is not None:
            stage, _, name = key.partition(".")
            flags.append(Setting(stage, name, value, flag))
    # Of a repeated --set the last one wins, as with any other option.
    flags += [parse_assignment(text) for text in reversed(switches.assignments or [])]
    return Given(switches, tuple(flags))


def _parameter_name(flag: str) -> str:
    return "option_" + flag.removeprefix("--").replace("-", "_")


def _flag_annotation(flag: str) -> Any:
    """Every flag is read as text: one checker for flags, variables and files."""
    stage, _, name = FLAGS[flag].partition(".")
    field = field_of(stage, name)
    number = field.annotation in (int, float)
    option = typer.Option(
        flag,
        metavar="|".join(allowed_words(field)) or ("NUMBER" if number else "TEXT"),
        help=_described(field),
        rich_help_panel=PANELS[stage],
    )
    return Annotated[str | None, option]


def _described(field: FieldInfo) -> str:
    default = "" if field.default is None else f" Default: {field.default}."
    return f"{field.description}{default}"


def _check_word(flag: str, word: str, allowed: tuple[str, ...]) -> None:
    if word not in allowed:
        raise UsageError(f"{flag} {word}", allowed=", ".join(allowed))
