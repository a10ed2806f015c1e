"""Every error is one line with a stable code; the tree in the docstring is the real one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from clamr_rag import errors
from clamr_rag.errors import ClamrError, MediaError

ALL = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, ClamrError)
]


def test_a_message_is_got_allowed_hint() -> None:
    error = MediaError("got .txt", allowed=".mp4", hint="give a video")
    assert str(error) == "got .txt; allowed: .mp4; give a video"
    assert str(MediaError("got nothing")) == "got nothing"


@pytest.mark.parametrize("hostile", ["a\nb", "a\r\n\tb", "a\x1b[31mb", "a\u202eb", "a\x00b"])
def test_a_hostile_name_stays_one_line(hostile: str) -> None:
    message = str(ClamrError(f"cannot read {hostile}"))
    assert message.isprintable()
    assert message.startswith("cannot read a")


def test_codes_are_unique() -> None:
    assert len({error.code for error in ALL}) == len(ALL)
    assert all(re.fullmatch(r"CR-E0\d\d", error.code) for error in ALL)


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn = re.findall(r"(\w+Error)\s+(\d+)\s", errors.__doc__ or "")
    assert sorted(drawn) == sorted((error.__name__, str(error.exit_code)) for error in ALL)


def test_every_code_is_explained_in_the_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    missing = [error.code for error in ALL if error.code not in readme]
    assert not missing
