"""What eval/README.md says is there is there, and what is there is in it."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from eval.arms import ARM_NAMES
from eval.benchmarks import MODULES, QA_NAMES, load_options
from eval.benchmarks.sampling import SAMPLINGS
from eval.benchmarks.subtitles import PICKS
from eval.extractors import RULES as ANSWER_RULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "eval" / "README.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^##+ (.+)$", README, flags=re.MULTILINE)
ROWS = [line.split(" | ") for line in README.splitlines() if line.startswith("| ")]


def slug(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_contents_are_the_headings_in_order() -> None:
    listed = re.findall(r"^ *- \[(.+)\]\(#(.+)\)$", README, flags=re.MULTILINE)
    assert listed == [(heading, slug(heading)) for heading in HEADINGS]


def test_links_within_lead_somewhere() -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert links <= {slug(heading) for heading in HEADINGS}


def test_commands_and_files_exist() -> None:
    for module in set(re.findall(r"python -m (eval[.\w]+)", README)):
        assert find_spec(module), module
    for path in set(re.findall(r"`((?:eval|tests)/[\w/]+\.\w+)`", README)):
        assert (ROOT / path).is_file(), path


def test_options_of_commands_exist() -> None:
    for module, arguments in re.findall(r"python -m eval\.([\w.]+)([^`]*)", README):
        place = ROOT / "eval" / module.replace(".", "/")
        sources = [place.with_suffix(".py"), place / "__main__.py"]
        code = "".join(path.read_text(encoding="utf-8") for path in sources if path.is_file())
        for line in arguments.splitlines():
            for option in re.findall(r"--[a-z][a-z-]+", line.partition("#")[0]):
                assert f'"{option}"' in code, (module, option)


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_has_a_row_with_its_options(name: str) -> None:
    cells = next(row for row in ROWS if row[0] == f"| `{name}`" and len(row) == 4)
    for option, default in load_options(name).items():
        shown = re.search(rf"`{option}(?:=(.*?))?[`|\\]", cells[3])
        assert shown, option
        assert shown[1] in (default, None), "the default stands first"


@pytest.mark.parametrize("name", QA_NAMES)
def test_every_benchmark_of_questions_has_its_rules(name: str) -> None:
    cells = next(row for row in ROWS if row[0] == f"| `{name}`" and len(row) < 4)
    named = [rule for rule in re.findall(r"`([\w@.-]+)`", cells[1]) if rule in ANSWER_RULES]
    assert tuple(named) == import_module(MODULES[name]).RULES


@pytest.mark.parametrize("name", [*PICKS, *SAMPLINGS, *ANSWER_RULES, *ARM_NAMES])
def test_every_rule_and_retriever_is_named(name: str) -> None:
    assert f"`{name}`" in README or re.fullmatch(r"joint-\w+", name)
