"""``config``: which values hold, and who gave them."""

from __future__ import annotations

from typing import Annotated

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.invocation import Invocation
from clamr_rag.cli.settings import STAGES, config_files, library_folder


def show(
    invocation: Invocation,
    origin: Annotated[
        bool, typer.Option("--origin", help="Also say where each value comes from.")
    ] = False,
) -> int:
    """Print every option and its value, as a configuration file holds it."""
    rows = [
        (f"{stage}.{name}", _value(invocation, stage, name), _origin(invocation, stage, name))
        for stage, model in STAGES.items()
        for name in model.model_fields
    ]
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        invocation.terminal.say_json(
            table_json("options", [{"key": k, "value": v, "origin": o} for k, v, o in rows])
        )
        return exits.OK
    for key, value, source in rows:
        shown = f"{key} = {value!r}"
        invocation.terminal.say(f"{shown:<48}  {source}" if origin else shown)
    return exits.OK


def path(invocation: Invocation) -> int:
    """Print where configuration and library are looked for, the strongest first."""
    rows = [("project", str(config_files()[0])), ("user", str(config_files()[1]))]
    rows.append(("library", str(library_folder(invocation.settings.library))))
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        invocation.terminal.say_json(
            table_json("paths", [{"name": name, "path": place} for name, place in rows])
        )
    else:
        invocation.terminal.say(*(f"{name:<8} {place}" for name, place in rows))
    return exits.OK


def _value(invocation: Invocation, stage: str, name: str) -> object:
    settings = invocation.settings
    values = settings.library if stage == "library" else getattr(settings.options, stage)
    return getattr(values, name)


def _origin(invocation: Invocation, stage: str, name: str) -> str:
    return invocation.settings.origin(stage, name)
