"""What the README says is there is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clamr_rag.cli.app import build_app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def help_of(*command: str) -> str:
    done = CliRunner().invoke(
        build_app(), [*command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert done.exit_code == 0, done.output
    return done.output


COMMANDS = sorted(set(re.findall(r"clamr-rag ([a-z]+)", README)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_named_exists(command: str) -> None:
    assert "Usage" in help_of(command)


def test_every_command_is_named() -> None:
    listed = re.findall(r"^\W*│ ([a-z]+) ", help_of(), flags=re.MULTILINE)
    assert listed
    missing = [command for command in listed if f"`{command}" not in README.replace(
        "`clamr-rag ", "`")]  # fmt: skip
    assert not missing


def test_every_option_named_exists() -> None:
    commands = ("ask", "index", "search", "config show")
    known = "".join(help_of(*command.split()) for command in commands)
    prose = re.sub(r"```.*?```|`python -m [^`]*`", "", README, flags=re.DOTALL)
    options = set(re.findall(r"(--[a-z][a-z-]+)", prose))
    assert options
    missing = sorted(option for option in options if not re.search(rf"{option}\b", known))
    assert not missing


def test_options_of_measuring_commands_exist() -> None:
    commands = re.findall(r"`python -m (eval\.\w+)([^`]*)`", README)
    assert commands
    for module, arguments in commands:
        path = ROOT / (module.replace(".", "/") + ".py")
        for option in re.findall(r"--[a-z][a-z-]+", arguments):
            assert f'"{option}"' in path.read_text(encoding="utf-8"), (module, option)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z]+(?:-[a-z]+)*)", README)) - {"it"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_python_examples_parse_and_import() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                exec(compile(ast.Module([node], []), "README.md", "exec"), {})


def test_measured_rows_name_their_command() -> None:
    table = README.partition("## Measured")[2].partition("## Limits")[0]
    rows = [row for row in table.splitlines() if row.startswith("|")][2:]
    assert rows
    for row in rows:
        assert "`" in row.split("|")[3], row


def test_files_named_exist() -> None:
    for name in set(re.findall(r"`((?:clamr_rag|eval|tests)/[\w/]+\.\w+)`", README)):
        assert (ROOT / name).is_file(), name


def test_the_changelog_opens_with_what_is_unreleased() -> None:
    assert re.search(r"^## \[Unreleased\]", CHANGELOG, flags=re.MULTILINE)
