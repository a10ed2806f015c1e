"""The commands by name, and the last net under them."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from clamr_rag import __version__
from clamr_rag.cli import exits, models_command
from clamr_rag.cli.ask_command import ask, search
from clamr_rag.cli.config_command import path, show
from clamr_rag.cli.demo import demo
from clamr_rag.cli.doctor import doctor
from clamr_rag.cli.index_command import index
from clamr_rag.cli.invocation import register
from clamr_rag.cli.library_commands import info, ls, rm, verify
from clamr_rag.cli.options import (
    PANELS,
    keyword,
    option_parameters,
    take_options,
    with_parameters,
)
from clamr_rag.cli.terminal import Terminal, one_line
from clamr_rag.errors import UsageError

_INDEXING = ("library", "speech", "ocr", "segmentation")


def build_app() -> typer.Typer:
    """Returns the application with all its commands."""
    app = typer.Typer(
        name="clamr-rag",
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich",
    )
    register_common(app)
    register(app, ask, "ask", tuple(PANELS))
    register(app, search, "search", (*_INDEXING, "search"))
    register(app, index, "index", _INDEXING)
    register(app, ls, "ls")
    register(app, info, "info")
    register(app, rm, "rm", ("library", "search"))
    register(app, verify, "verify")
    register(app, doctor, "doctor", ("library", "speech", "ocr"))
    config = typer.Typer(help="Show the configuration and where it comes from.")
    register(config, show, "show", tuple(PANELS))
    register(config, path, "path")
    app.add_typer(config, name="config")
    models = typer.Typer(help="Fetch, list, check and merge the weights of the larger encoders.")
    for command in (models_command.pull, models_command.ls, models_command.verify,
                    models_command.merge):  # fmt: skip
        register(models, command, command.__name__, ())
    app.add_typer(models, name="models")
    register(app, demo, "demo", ())
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    sys.excepthook = exits.tell_crash
    # A console that cannot show a letter shows a question mark instead of ending the program; names
    # of files come in as they are, whatever their bytes.
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "replace"),
                           (sys.stdin, "surrogateescape")):  # fmt: skip
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        return int(
            get_command(build_app()).main(
                args=None if arguments is None else list(arguments),
                prog_name="clamr-rag",
                standalone_mode=False,
            )
            or exits.OK
        )
    except UsageError as error:
        Terminal().error(str(error))
        return error.exit_code
    except TyperException as error:
        Terminal().error(f"{_without_stop(error.format_message())}; clamr-rag --help tells more")
        return error.exit_code
    except typer.Abort:
        return exits.INTERRUPTED


def register_common(app: typer.Typer) -> None:
    """Lets the common options stand before the command's name, too."""

    def root(context: typer.Context, version: bool, **arguments: Any) -> None:
        if version:
            typer.echo(f"clamr-rag {__version__}")
            raise typer.Exit
        context.obj = take_options(arguments)
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(UsageError.exit_code)

    version = Annotated[bool, typer.Option("--version", help="Print the version and exit.")]
    with_parameters(root, [keyword("version", version, False), *option_parameters(("library",))])
    root.__doc__ = "Ask long videos a question and get the moment and the answer."
    app.callback(invoke_without_command=True)(root)


def _without_stop(message: str) -> str:
    return one_line(message, 500).rstrip(".")
