"""Asks every planted fact of a lecture, and things that are not in it; prints what came right.

``python -m eval.run_planted VIDEO.mp4 --slides 80 --seed 7 --library DIR`` on a video that
``eval.planted_video`` made with the same slides and seed. An exit code of 1 says that the lecture
missed the floor of 9 in 10 facts found and cited, or of 8 in 10 absent things declined.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from clamr_rag import Answer, VideoLibrary
from clamr_rag.types import Modality
from eval.planted_facts import MODALITIES, Lecture, PlantedFact, make_lecture
from eval.planted_video import slide_span

_FOUND_FLOOR, _DECLINED_FLOOR = 0.9, 0.8


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts over one lecture."""

    ranked_first: Counter[Modality]
    """Facts whose clip came first."""
    cited: Counter[Modality]
    """Facts that were answered with a citation whose span overlaps the truth."""
    num_declined: int
    """Absent things that were not answered."""
    lines: tuple[str, ...]
    """One per failure."""


def ask_all(library: VideoLibrary, lecture: Lecture) -> Outcome:
    """Asks all questions of a lecture that the library holds."""
    ranked_first: Counter[Modality] = Counter()
    cited: Counter[Modality] = Counter()
    lines = []
    for planted in lecture.planted:
        answer = library.ask(planted.fact.question)
        first, cites = _is_first(answer, planted), _cites(answer, planted)
        ranked_first[planted.modality] += first
        cited[planted.modality] += cites
        if not (first and cites):
            lines.append(f"{planted.modality.label}: {_told(answer)}")
    answers = [library.ask(fact.question) for fact in lecture.absent]
    lines += [f"not in the video: {_told(answer)}" for answer in answers if not answer.abstained]
    return Outcome(ranked_first, cited, sum(a.abstained for a in answers), tuple(lines))


def _is_first(answer: Answer, planted: PlantedFact) -> bool:
    span = answer.clips[0].clip.span
    # Most of the clip must lie in the slide: a neighbour that touches it is not right.
    return span.overlap_seconds(slide_span(planted)) > span.duration_seconds / 2


def _cites(answer: Answer, planted: PlantedFact) -> bool:
    return not answer.abstained and any(
        citation.span.overlap_seconds(slide_span(planted)) > 0 for citation in answer.citations[:1]
    )


def _told(answer: Answer) -> str:
    return f"{answer.question} -> {answer.text} ({answer.confidence:.2f})"


def main() -> int:
    """Asks one lecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--slides", type=int, default=80)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    facts = min(10, arguments.slides // 3)
    lecture = make_lecture(arguments.slides, arguments.seed, facts_per_modality=facts)
    with VideoLibrary.open(arguments.library) as library:
        library.add(arguments.video)
        outcome = ask_all(library, lecture)
    print(*outcome.lines, sep="\n")
    for modality in MODALITIES:
        print(f"{modality.label:10} ranked first {outcome.ranked_first[modality]}/{facts}, "
              f"cited {outcome.cited[modality]}/{facts}")  # fmt: skip
    num_first, num_cited = outcome.ranked_first.total(), outcome.cited.total()
    num_facts, num_absent = len(lecture.planted), len(lecture.absent)
    print(f"all        ranked first {num_first}/{num_facts}, cited {num_cited}/{num_facts}; "
          f"declined {outcome.num_declined}/{num_absent}")  # fmt: skip
    good = min(num_first, num_cited) >= _FOUND_FLOOR * num_facts
    return 0 if good and outcome.num_declined >= _DECLINED_FLOOR * num_absent else 1


if __name__ == "__main__":
    sys.exit(main())
