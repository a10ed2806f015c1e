"""One vector for each detail of a picture, by which words and pictures are brought together.

"three large red boats rising …": each of these words is drawn towards the vector of what it means
and of the part it plays (the things' own colour or their companion's), and so are the tokens of the
picture. A held-out word or drawing then needs to be near a known one, not near a whole sentence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from clamr_rag.encoder.mini_network import DIM
from eval.mini.labels import PICTURE_CLASSES

_VALUES_OF = (0, 1, 2, 3, 4, 5, 2, 3)
"""By detail: whose values it has; the companion's colours and kinds are those of the things."""
_TEMPERATURE = 0.05


class Names(nn.Module):
    """Vectors of values and of the parts they play; thrown away after training."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.ParameterList(
            nn.Parameter(torch.randn(PICTURE_CLASSES[slot], DIM) * 0.1)
            for slot in sorted(set(_VALUES_OF))
        )
        self.roles = nn.Parameter(torch.randn(len(_VALUES_OF), DIM) * 0.1)

    def of_words(self, words: Tensor, slots: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """Cross entropy of what words mean and of the part they play, and the share of right ones.

        Args:
            words: Unit rows ``(n, 128)``.
            slots: Which detail each tells ``(n,)``.
            labels: Its value ``(n,)``.
        """
        words = words.float()
        roles = words @ normalize(self.roles, dim=-1).T
        losses, right = [cross_entropy(roles / _TEMPERATURE, slots)], 0
        for slot, values in enumerate(_VALUES_OF):
            chosen = slots == slot
            if chosen.any():
                cosines = words[chosen] @ normalize(self.values[values], dim=-1).T
                losses.append(cross_entropy(cosines / _TEMPERATURE, labels[chosen]) / 4)
                right += int((cosines.argmax(1) == labels[chosen]).sum())
        return torch.stack(losses).sum(), right / len(slots)

    def of_pictures(self, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, list[float]]:
        """How well tokens tell the details, each told by the token nearest to it.

        The nearest token is what MaxSim looks for, so a detail that no token shows costs as much as
        it will cost in search.

        Args:
            tokens: Unit rows ``(clips, n, 128)``.
            labels: ``(clips, 8)``.

        Returns:
            Mean cross entropy of the details; mean distance, 1 - cosine, of the right name from the
            token nearest to it; share of right ones of each.
        """
        roles, losses, distances, right = normalize(self.roles, dim=-1), [], [], []
        for slot, values in enumerate(_VALUES_OF):
            names = normalize(normalize(self.values[values], dim=-1) + roles[slot], dim=-1)
            cosines = (tokens.float() @ names.T).amax(dim=1)
            losses.append(cross_entropy(cosines / _TEMPERATURE, labels[:, slot]))
            distances.append(1 - cosines.gather(1, labels[:, slot, None]).mean())
            right.append(float((cosines.argmax(1) == labels[:, slot]).float().mean()))
        return torch.stack(losses).mean(), torch.stack(distances).mean(), right
