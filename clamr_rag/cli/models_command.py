"""``models``: fetch the weights of the larger encoders, list them, check them."""

from __future__ import annotations

from typing import Annotated

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.invocation import Invocation
from clamr_rag.errors import ModelMissingError

Name = Annotated[str, typer.Argument(help="clamr, clamr-omni, a folder, or a hub id.")]


def pull(invocation: Invocation, name: Name) -> int:
    """Fetch a model from the hub; the only command that goes online."""
    from clamr_rag.encoder import hub

    folders = [str(folder) for folder in hub.pull(name)]
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        invocation.terminal.say_json(table_json("folders", [{"path": path} for path in folders]))
    else:
        invocation.terminal.say(*folders)
    return exits.OK


def ls(invocation: Invocation) -> int:
    """List the models that the presets need, and where they are."""
    from clamr_rag.encoder import hub

    models = hub.list_models()
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        rows = [{"preset": m.preset, "repo": m.repo, "folder": _text(m.folder)} for m in models]
        invocation.terminal.say_json(table_json("models", rows))
        return exits.OK
    invocation.terminal.say("mini         comes with the package")
    for model in models:
        place = _text(model.folder) or f"not here (clamr-rag models pull {model.preset})"
        invocation.terminal.say(f"{model.preset:<11}  {model.repo:<28}  {place}")
    return exits.OK


def verify(invocation: Invocation, name: Name) -> int:
    """Compare a fetched model with the digests that the hub gave its files."""
    from clamr_rag.encoder import hub

    checks = hub.verify(name)
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        rows = [{"path": str(check.path), "intact": check.intact} for check in checks]
        invocation.terminal.say_json(table_json("files", rows))
    for check in [] if invocation.switches.json else checks:
        verdict = {True: "ok", False: "DAMAGED", None: "no digest known"}[check.intact]
        invocation.terminal.say(f"{verdict:<15}  {check.path}")
    damaged = sum(check.intact is False for check in checks)
    if damaged:
        raise ModelMissingError(
            f"{damaged} of {len(checks)} files of {name} are damaged",
            hint=f"clamr-rag models pull {name}",
        )
    return exits.OK


def _text(value: object) -> str | None:
    return None if value is None else str(value)
