"""What the renderer knows of a picture, as labels: of each patch, and of the whole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from clamr_rag.encoder.stem import HEIGHT, WIDTH
from eval.synthetic.lexicon import read_lexicon
from eval.synthetic.pictures import Placed, companion_of, things_at
from eval.synthetic.staging import Staging
from eval.synthetic.world import WorldClip

Labels = npt.NDArray[np.int64]
_LEXICON = read_lexicon("train")
_COLOURS, _KINDS = list(_LEXICON.colours), list(_LEXICON.kinds)
_MOTIONS, _RELATIONS = list(_LEXICON.motions), list(_LEXICON.relations)

SIZE = (224, 126)
"""Of a drawn picture: it stands in the middle of a frame of the stem."""
PATCH = 16
PATCH_CLASSES = (3, len(_KINDS) + 1, len(_COLOURS) + 1)
"""Nothing, thing or companion; nothing or a family of kinds; nothing or one of colours."""
PICTURE_CLASSES = (
    5, 2, len(_COLOURS), len(_KINDS), len(_MOTIONS), len(_RELATIONS), len(_COLOURS), len(_KINDS),
)  # fmt: skip
"""How many values each detail of `picture_labels` has."""
MOTION = 4
"""Place of the motion in them: one frame does not show it."""

_X = (np.arange(WIDTH // PATCH) + 0.5) * PATCH - (WIDTH - SIZE[0]) / 2
_Y = (np.arange(HEIGHT // PATCH) + 0.5) * PATCH - (HEIGHT - SIZE[1]) / 2


def picture_labels(staging: Staging) -> list[int]:
    """Count, size, colour, kind, motion, relation, the companion's colour and kind."""
    return [
        staging.count - 1,
        int(staging.size == "large"),
        _COLOURS.index(staging.colour.family),
        _KINDS.index(staging.kind.family),
        _MOTIONS.index(staging.motion),
        _RELATIONS.index(staging.relation),
        _COLOURS.index(staging.companion_colour.family),
        _KINDS.index(staging.companion.family),
    ]


def patch_labels(clip: WorldClip, seconds: float, shift: tuple[int, int] = (0, 0)) -> Labels:
    """Of each patch of 16 pixels: what stands there, its kind and its colour.

    Args:
        clip: A clip of a training world.
        seconds: Since its start.
        shift: Pixels by which the picture is moved, right and down.

    Returns:
        ``(3, HEIGHT / 16, WIDTH / 16)``, classes as in `PATCH_CLASSES`.
    """
    staging = clip.staging
    labels = np.zeros((len(PATCH_CLASSES), len(_Y), len(_X)), np.int64)
    kind, colour = _KINDS.index(staging.companion.family), staging.companion_colour.family
    companion = companion_of(clip, SIZE)
    _mark(labels, companion, shift, (2, kind + 1, _COLOURS.index(colour) + 1))
    kind, colour = _KINDS.index(staging.kind.family), staging.colour.family
    for thing in things_at(clip, seconds, SIZE):
        _mark(labels, thing, shift, (1, kind + 1, _COLOURS.index(colour) + 1))
    return labels


def _mark(
    labels: Labels, thing: Placed, shift: tuple[int, int], values: tuple[int, int, int]
) -> None:
    reach = max(thing.side, PATCH) / 2
    across = np.abs(_X - thing.middle[0] - shift[0]) <= reach
    down = np.abs(_Y - thing.middle[1] - shift[1]) <= reach
    labels[:, down[:, None] & across] = np.array(values)[:, None]
