"""E1: lead-in phrases are deleted, then the first allowed capital anywhere is the answer."""

from __future__ import annotations

_SPOKEN = ("The best answer is", "The correct answer is", "The answer is", "The answer")

# The next two strings are one each in the source, where a comma is missing between two lines: they
# match nothing that a model would say, so "Best answer: C" keeps the B of "Best".
_GLUED = ("The best option isThe correct option is", "Best answer:Best option:")
_APART = ("The best option is", "The correct option is", "Best answer:", "Best option:")
_LABELS = ("Answer:", "Option:")

VIDEO_MME = (*_SPOKEN, *_GLUED)
"""BradyFU/Video-MME ``evaluation/eval_your_results.py`` at 4e7566d, letters A to D."""

VLMEVALKIT = (*_SPOKEN, *_GLUED, *_LABELS)
"""open-compass/VLMEvalKit ``vlmeval/dataset/utils/videomme.py`` at e8e78f0, letters A to D."""

VIDEO_MME_V2 = ("Final Answer:", *_SPOKEN, *_APART, *_LABELS)
"""MME-Benchmarks/Video-MME-v2 ``evaluation/test_video_mme_v2.py`` at 013b6c9, letters A to H."""

LVB = (*_SPOKEN, *_APART)
"""EvolvingLMMs-Lab/lmms-eval ``lmms_eval/tasks/longvideobench/utils.py`` at 75571cf, letters A to
E whatever the number of options; it has no "Answer:", so "Answer: C" reads as A."""


def first_capital(reply: str, capitals: str, lead_ins: tuple[str, ...]) -> str | None:
    """The first of the capitals in what is left of a reply after its lead-in phrases.

    Sources: the four lists of lead-in phrases of this module say theirs. They also test for long
    replies without a capital, which changes nothing: those have no first capital either.

    Args:
        reply: What the model wrote.
        capitals: The letters that the source looks for, fixed per source.
        lead_ins: Phrases to delete, case-sensitive, one after the other in this order.
    """
    rest = reply.strip()
    for phrase in lead_ins:
        rest = rest.replace(phrase, "")
    return next((character for character in rest if character in capitals), None)
