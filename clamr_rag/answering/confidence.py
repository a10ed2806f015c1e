"""How sure the extractive answerer is, per encoder.

Encoders spread their cosines differently, so a score that means "it is in the video" with one
means little with another: each has a logistic of its own, fitted by `eval/calibrate_abstention.py`
on generated lectures (seeds 100-105).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logistic of "is it in the video" in the score of the best clip's quotes."""

    midpoint: float
    """Score, a mean cosine per word of the question, at which it is as likely as not."""
    slope: float
    """Log odds per unit of the score."""

    def confidence(self, score: float) -> float:
        """Probability that the quotes hold the answer."""
        return 1 / (1 + math.exp(-self.slope * (score - self.midpoint)))

    def score(self, confidence: float) -> float:
        """The score that has this confidence; 0 and 1 are taken for the nearest numbers."""
        confidence = min(max(confidence, 1e-12), 1 - 1e-12)
        return self.midpoint + math.log(confidence / (1 - confidence)) / self.slope


CALIBRATIONS = {"mini": Calibration(0.525, 20.7), "mini-vl": Calibration(0.53, 21.9)}
"""By `Encoder.name`.

`mini`: on lectures that were not fitted (seeds 200-207) it answers 96.2 % of the planted questions
and declines all of the absent ones, with an expected calibration error of 0.048.

Absent questions whose words all stand somewhere, but not together, are harder: of a synthetic
world that nothing was chosen by (split "test", seed 21) it declines 73 % and answers 97 % of the
others. A midpoint fitted on worlds too, near 0.65, costs lectures 9 points and worlds a third of
their answers.

`mini-vl`: on seeds 200-203 it answers 97.5 % and declines all absent ones, with an error of
0.030."""


def calibration_of(encoder: str) -> Calibration:
    """An encoder's calibration, that of `mini` where nobody has fitted one."""
    return CALIBRATIONS.get(encoder, CALIBRATIONS["mini"])


def calibration_notes(encoder: str) -> tuple[str, ...]:
    """What a reader should know of the confidence; nothing where it was fitted."""
    if encoder in CALIBRATIONS:
        return ()
    return (
        f"the confidence is not calibrated for the encoder {encoder}: it is read off the scores "
        "as for mini, so answers may be given or withheld wrongly",
    )
