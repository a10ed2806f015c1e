"""``models``: fetch the weights of the larger encoders, list them, check them, merge them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clamr_rag.cli import exits
from clamr_rag.cli.invocation import Invocation
from clamr_rag.config import EMBEDDED_ENCODERS
from clamr_rag.errors import ModelMissingError, UsageError

Name = Annotated[
    str, typer.Argument(help="clamr, clamr-omni, a folder, or a hub id (owner/name@commit).")
]


def pull(invocation: Invocation, name: Name) -> int:
    """Fetch a model from the hub; the only command that goes online.

    Prints which commit it took. A name without a commit keeps it from then on; to change it, pull
    owner/name@commit.
    """
    from clamr_rag.encoder import hub

    snapshots = hub.pull(name)
    rows = [{"repo": s.repo, "commit": s.commit, "path": str(s.folder)} for s in snapshots]
    lines = [f"{snapshot}  {snapshot.folder}" for snapshot in snapshots]
    return _say(invocation, "folders", rows, lines)


def ls(invocation: Invocation) -> int:
    """List the models that the presets need, their commits, and where they are."""
    from clamr_rag.encoder import hub

    models = hub.list_models()
    rows = [
        {"preset": m.preset, "repo": m.repo, "commit": m.commit, "folder": _text(m.folder)}
        for m in models
    ]
    return _say(
        invocation,
        "models",
        rows,
        [f"{name:<11}  comes with the package" for name in EMBEDDED_ENCODERS]
        + [
            f"{m.preset:<11}  {m.repo:<28}  {m.commit or 'commit of the first pull':<40}  "
            f"{m.folder or f'not here (clamr-rag models pull {m.preset})'}"
            for m in models
        ],
    )


def verify(
    invocation: Invocation,
    name: Name,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="Folder or hub id of a LoRA adapter.")
    ] = None,
) -> int:
    """Compare a fetched model with the digests that the hub gave its files."""
    from clamr_rag.encoder import integrity

    checks = integrity.verify(name, adapter)
    verdict = {True: "ok", False: "DAMAGED", None: "no digest known"}
    _say(
        invocation,
        "files",
        [{"path": str(check.path), "intact": check.intact} for check in checks],
        [f"{verdict[check.intact]:<15}  {check.path}" for check in checks],
    )
    damaged = sum(check.intact is False for check in checks)
    if damaged:
        raise ModelMissingError(
            f"{damaged} of {len(checks)} files of {name} are damaged",
            hint=f"clamr-rag models pull {name}",
        )
    return exits.OK


def merge(
    invocation: Invocation,
    name: Name,
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="Folder or hub id of a LoRA adapter.")
    ] = None,
    adapter_only: Annotated[
        bool,
        typer.Option("--adapter-only", help="Write the adapter with its projection, no base."),
    ] = False,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the merged weights: float32, bfloat16, float16.")
    ] = "float32",
) -> int:
    """Write a model and its adapter as one checkpoint, projection included.

    The folder can then be given as --encoder. Needs memory for all weights of the model.
    """
    from clamr_rag.encoder import saving

    options = invocation.settings.options.encoder
    if not adapter_only:
        saving.save_merged(name, folder, adapter=adapter, dtype=dtype, options=options)
    elif dtype == "float32":
        saving.save_adapter(name, folder, adapter=adapter, options=options)
    else:
        raise UsageError(
            "got --dtype with --adapter-only", allowed="the adapter's own number format"
        )
    return _say(invocation, "folders", [{"path": str(folder)}], [str(folder)])


def _say(invocation: Invocation, table: str, rows: list[dict[str, Any]], lines: list[str]) -> int:
    """Prints the rows for programs, or the lines for people."""
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        invocation.terminal.say_json(table_json(table, rows))
    else:
        invocation.terminal.say(*lines)
    return exits.OK


def _text(value: object) -> str | None:
    return None if value is None else str(value)
