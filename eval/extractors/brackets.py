"""E6 and E7: replies that continue a prompt which ends with an open parenthesis."""

from __future__ import annotations

from collections.abc import Sequence


def before_parenthesis(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """What stands before the first ")", if that is a letter and nothing else.

    Source: JUNJIE99/MLVU ``Evaluation_Test/test_bench.py`` at 2d80156, whose prompt ends with
    "Best Option: (". Other text is compared with the letter there and is wrong; it is None here.

    Args:
        reply: What the model wrote after the parenthesis.
        letters: Of the options.
        choices: Not used by the source.
    """
    head = reply.strip().partition(")")[0].strip()
    return _one_of(letters, head)


def between_parentheses(reply: str, letters: str, choices: Sequence[str] = ()) -> str | None:
    """First character of the first word after "(", or of the reply, up to the first ")".

    Source: THUDM/LVBench (now zai-org) ``lvbench/utils/answer_util.py`` at 1dd4612. Characters that
    are no option ("T" of "The answer is C") are wrong there; they are None here.

    Args:
        reply: What the model wrote.
        letters: Of the options.
        choices: Not used by the source.
    """
    head = reply.strip().partition(")")[0].strip()
    if "(" in head:
        head = head.split("(")[1].strip()
    return _one_of(letters, head.split(" ")[0][:1])


def _one_of(letters: str, text: str) -> str | None:
    return text if len(text) == 1 and text in letters else None
