"""Which option a reply picks, by every published rule and by our own: named and frozen.

The same replies score differently under the rules of different harnesses (``Best answer: C`` is C
for one and B for another), so a number says which rule read it. Each rule is written anew from what
its source does at one commit, its mistakes included; what changed there later is another rule. A
rule's name stands in every record, so it never changes its meaning::

    extract("mcq-lmms-eval@75571cf", "The answer is C because A and B are wrong")  # "B"
    extract("strict", "The answer is C because A and B are wrong")                 # None

Rules never guess: where a source draws a random letter, the answer is None here and the rule says
`guesses`, so that a report can add what the guess would be worth on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from clamr_rag.answering.letters import picked_letter
from eval.extractors.brackets import before_parenthesis, between_parentheses
from eval.extractors.first_capital import LVB, VIDEO_MME, VIDEO_MME_V2, VLMEVALKIT, first_capital
from eval.extractors.formats import best_format
from eval.extractors.inferred import inferred_option
from eval.extractors.mmmu import earliest_label, latest_label

Read = Callable[[str, str, Sequence[str]], str | None]
"""From a reply, the letters of the options and their texts to the picked letter."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to read a reply."""

    name: str
    """As it stands in records; ends with the commit where a harness is named."""
    code: str
    """Family in eval-protocols: "E1" to "E7", or "own"."""
    source: str
    """Repository and file."""
    commit: str
    """Of the source as it was read; empty for our own rule."""
    read: Read
    drops: Callable[[str | None, str | None], bool]
    """From the reply (None: none was made) and the letter read: whether the question leaves the
    source's denominator."""
    guesses: bool = False
    """Whether the source draws a random letter where it reads none."""


def extract(
    rule_name: str, reply: str, letters: str = "ABCD", choices: Sequence[str] = ()
) -> str | None:
    """The letter that a reply picks under one rule; None where the rule reads none.

    Args:
        rule_name: One of `RULES`.
        reply: What the model wrote, thoughts removed.
        letters: Of the question's options. The first-capital rules have a fixed set of their own.
        choices: Texts of the options, for the rules that fall back on them.

    Raises:
        ValueError: There is no such rule.
    """
    return find_rule(rule_name).read(reply, letters, choices)


def find_rule(rule_name: str) -> Rule:
    """The rule of this name.

    Raises:
        ValueError: There is none.
    """
    try:
        return RULES[rule_name]
    except KeyError:
        raise ValueError(f"got rule {rule_name!r}; allowed: {', '.join(RULES)}") from None


def _never(reply: str | None, picked: str | None) -> bool:
    return False


def _if_unread(reply: str | None, picked: str | None) -> bool:
    return picked is None


def _if_unanswered(reply: str | None, picked: str | None) -> bool:
    return reply is None


def _if_failed(reply: str | None, picked: str | None) -> bool:
    return reply is None or reply in ("", "API Error")


def _first_capital_of(capitals: str, lead_ins: tuple[str, ...]) -> Read:
    return lambda reply, letters, choices: first_capital(reply, capitals, lead_ins)


_LMMS, _VLM = "75571cf", "e8e78f0"
_ALL_RULES = (
    Rule("strict", "own", "clamr_rag/answering/letters.py", "", picked_letter, _never),
    Rule(
        "videomme-official",
        "E1",
        "BradyFU/Video-MME evaluation/eval_your_results.py",
        "4e7566d",
        _first_capital_of("ABCD", VIDEO_MME),
        _if_unread,
    ),
    Rule(
        f"videomme-vlmevalkit@{_VLM}",
        "E1",
        "open-compass/VLMEvalKit vlmeval/dataset/utils/videomme.py",
        _VLM,
        _first_capital_of("ABCD", VLMEVALKIT),
        _never,
    ),
    Rule(
        "videomme-v2-official",
        "E1",
        "MME-Benchmarks/Video-MME-v2 evaluation/test_video_mme_v2.py",
        "013b6c9",
        _first_capital_of("ABCDEFGH", VIDEO_MME_V2),
        _if_unread,
    ),
    Rule(
        f"longvideobench-lmms-eval@{_LMMS}",
        "E1",
        "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/longvideobench/utils.py",
        _LMMS,
        _first_capital_of("ABCDE", LVB),
        _never,
        guesses=True,
    ),
    Rule(
        f"mcq-lmms-eval@{_LMMS}",
        "E2",
        "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/_task_utils/mcq_extract.py",
        _LMMS,
        best_format,
        _never,
    ),
    Rule(
        f"egoschema-lmms-eval@{_LMMS}",
        "E3",
        "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/egoschema/utils.py",
        _LMMS,
        earliest_label,
        _never,
        guesses=True,
    ),
    Rule(
        f"videommmu-vlmevalkit@{_VLM}",
        "E4",
        "open-compass/VLMEvalKit vlmeval/dataset/videommmu.py",
        _VLM,
        latest_label,
        _if_failed,
    ),
    Rule(
        f"can-infer-vlmevalkit@{_VLM}",
        "E5",
        "open-compass/VLMEvalKit vlmeval/utils/matching_util.py",
        _VLM,
        inferred_option,
        _never,
    ),
    Rule(
        "mlvu-official",
        "E6",
        "JUNJIE99/MLVU Evaluation_Test/test_bench.py",
        "2d80156",
        before_parenthesis,
        _never,
    ),
    Rule(
        "lvbench-official",
        "E7",
        "THUDM/LVBench lvbench/utils/answer_util.py",
        "1dd4612",
        between_parentheses,
        _if_unanswered,
    ),
)
RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in _ALL_RULES})
"""Every rule by its name."""
