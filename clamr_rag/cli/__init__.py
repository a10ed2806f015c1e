"""The ``clamr-rag`` command: data on stdout, everything else on stderr, exit codes as promised."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    try:
        from clamr_rag.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        # Before a command has begun there is nothing to say; afterwards it has been said.
        return 130
