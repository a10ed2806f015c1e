"""``python -m clamr_rag`` is the ``clamr-rag`` command."""

from __future__ import annotations

from clamr_rag.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
