"""The commands by name, and the last net under them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from clamr_rag import __version__
from clamr_rag.cli import exits
from clamr_rag.cli.ask_command import ask, search
from clamr_rag.cli.config_command import path, show
from clamr_rag.cli.demo import demo
from clamr_rag.cli.doctor import doctor
from clamr_rag.cli.index_command import index
from clamr_rag.cli.invocation import register
from clamr_rag.cli.library_commands import info, ls, rm, verify
from clamr_rag.cli.options import PANELS, take_options
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
    register(app, demo, "demo", ())
    return app
