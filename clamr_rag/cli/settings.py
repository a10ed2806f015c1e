"""Where every option's value comes from.

Command line > environment ``CLAMR_RAG_<STAGE>__<NAME>`` > ``clamr-rag.toml`` in the current folder
> the user's ``config.toml`` > the defaults in `clamr_rag.config`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from clamr_rag.config import LibraryOptions, Options, StageOptions
from clamr_rag.errors import UsageError

ENVIRONMENT_PREFIX = "CLAMR_RAG_"
PROJECT_FILE = "clamr-rag.toml"

STAGES: Mapping[str, type[StageOptions]] = MappingProxyType(
    {"library": LibraryOptions}
    | {name: type(field.default) for name, field in Options.model_fields.items()}
)
"""Every stage by the name it has in a file, in the environment and after ``--set``."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that somebody gave."""

    stage: str
    name: str
    value: Any
    """As it was read: a string, or a TOML value."""
    origin: str
    """A flag, an environment variable, or a file's path."""

    @property
    def key(self) -> str:
        """``stage.name``, as in a file."""
        return f"{self.stage}.{self.name}"

    @property
    def said(self) -> str:
        """How an error names it."""
        if self.origin.startswith("--set"):
            return f"--set {self.key}={self.value}"
        if self.origin.startswith("-"):
            return f"{self.origin} {self.value}"
        if self.origin.startswith(ENVIRONMENT_PREFIX):
            return f"{self.origin}={self.value}"
        return f"{self.key} = {self.value!r} in {self.origin}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All options, checked, and who gave those that are not defaults."""

    options: Options
    library: LibraryOptions
    given: tuple[Setting, ...] = ()
    """At most one per key: the one that won."""

    def origin(self, stage: str, name: str) -> str:
        """Who gave the value: a flag, a variable, a file, or ``default``."""
        return next((s.origin for s in self.given if (s.stage, s.name) == (stage, name)), "default")


def load_settings(
    flags: Sequence[Setting] = (),
    *,
    environment: Mapping[str, str] | None = None,
    files: Sequence[Path] | None = None,
) -> Settings:
    """Merges all sources and checks every value.

    Args:
        flags: What stands on the command line.
        environment: The process's by default.
        files: Configuration files, the strongest first; those of `config_files` by default.

    Raises:
        UsageError: An unknown key or a value that is not allowed; names where it stands.
    """
    environment = os.environ if environment is None else environment
    sources = [*flags, *_from_environment(environment)]
    for path in config_files() if files is None else files:
        sources += _from_file(path)
    winners: dict[str, Setting] = {}
    for setting in sources:
        # Also of a source that loses: a misspelt option must not wait until it would win.
        _check_key(setting)
        winners.setdefault(setting.key, setting)
    stages = {stage: _checked(stage, winners.values()) for stage in STAGES}
    library = stages.pop("library")
    assert isinstance(library, LibraryOptions)
    return Settings(Options.model_validate(stages), library, tuple(winners.values()))


def config_files() -> tuple[Path, ...]:
    """Where configuration is looked for, the strongest first, whether it is there or not."""
    return Path.cwd() / PROJECT_FILE, user_config_file()


def user_config_file() -> Path:
    """The user's own configuration, ``$XDG_CONFIG_HOME/clamr-rag/config.toml`` on Linux."""
    import platformdirs

    return platformdirs.user_config_path("clamr-rag") / "config.toml"


def library_folder(library: LibraryOptions) -> Path:
    """The library's folder: the one asked for, else in $CLAMR_RAG_HOME, else in the user's data."""
    if library.path:
        return Path(library.path).expanduser()
    home = os.environ.get("CLAMR_RAG_HOME")
    if home:
        return Path(home) / "library"
    import platformdirs

    return platformdirs.user_data_path("clamr-rag") / "library"


def field_of(stage: str, name: str) -> FieldInfo:
    """The declaration of an option, with its help text and default."""
    return STAGES[stage].model_fields[name]


def allowed_words(field: FieldInfo) -> tuple[str, ...]:
    """The words that an option takes, or their forms; empty where any text or number may stand."""
    words = [word for word in get_args(field.annotation) if isinstance(word, str)]
    return tuple(words or map(str, field.examples or ()))


def parse_assignment(text: str) -> Setting:
    """Reads ``STAGE.NAME=VALUE`` as given to ``--set``."""
    key, equals, value = text.partition("=")
    stage, dot, name = key.strip().partition(".")
    if not (equals and dot):
        raise UsageError(
            f"--set {text}",
            allowed="STAGE.NAME=VALUE",
            hint="clamr-rag config show lists all names",
        )
    return Setting(stage, name, value, "--set")


def _from_environment(environment: Mapping[str, str]) -> Iterator[Setting]:
    for variable in sorted(environment):
        rest = variable.removeprefix(ENVIRONMENT_PREFIX)
        if rest != variable and "__" in rest:
            stage, _, name = rest.lower().partition("__")
            yield Setting(stage, name, environment[variable], variable)


def _from_file(path: Path) -> Iterator[Setting]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise UsageError(f"cannot read {path}: {fault}", hint="correct or move the file") from fault
    for stage, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(
                f"{stage} = {table!r} in {path}",
                allowed=f"tables: {', '.join(f'[{known}]' for known in STAGES)}",
            )
        for name, value in table.items():
            yield Setting(stage, name, value, str(path))


def _check_key(setting: Setting) -> None:
    """Refuses a key that nothing would read."""
    stage = STAGES.get(setting.stage)
    if stage is not None and setting.name in stage.model_fields:
        return
    known = [f"{stage}.{name}" for stage, model in STAGES.items() for name in model.model_fields]
    near = get_close_matches(setting.key, known, n=1)
    raise UsageError(
        f"unknown option {setting.said}",
        allowed="the names that clamr-rag config show lists",
        hint=f"did you mean {near[0]}?" if near else "",
    )


def _checked(stage: str, winners: Iterable[Setting]) -> StageOptions:
    """Builds one stage's options; the first value that is not allowed is told with its origin."""
    model = STAGES[stage]
    mine = {setting.name: setting for setting in winners if setting.stage == stage}
    values = {name: _value(setting, model.model_fields[name]) for name, setting in mine.items()}
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        # One line is what people read: the others show once this one is put right.
        first = fault.errors()[0]
        name = str(first["loc"][0])
        words = allowed_words(model.model_fields[name])
        rule = ", ".join(words) or first["msg"].removeprefix("Input should be ")
        raise UsageError(
            f"{mine[name].said}",
            allowed=rule,
            hint=f"{model.model_fields[name].description or ''}",
        ) from None


def _value(setting: Setting, field: FieldInfo) -> Any:
    """An empty string stands for None where None is allowed: neither flags nor TOML can say it."""
    return None if setting.value == "" and field.default is None else setting.value
