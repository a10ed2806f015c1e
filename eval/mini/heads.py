"""What the stem is asked while it learns to look; thrown away afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clamr_rag.encoder.stem import FEATURES, PATCH_WIDTH
from eval.mini.labels import MOTION, PATCH_CLASSES, PICTURE_CLASSES

_EMPTY_WEIGHT = 0.2
"""Most patches show neither a thing nor the companion."""


class PatchHead(nn.Module):
    """Names what stands on each patch."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Conv2d(FEATURES, sum(PATCH_CLASSES), 1)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, half a share for each of the three questions.

        Args:
            features: ``(frames, 128, rows, columns)``.
            labels: ``(frames, 3, rows, columns)``.
        """
        logits = self.out(features).float().split(PATCH_CLASSES, dim=1)
        losses = []
        for number, one in enumerate(logits):
            weights = torch.tensor([_EMPTY_WEIGHT] + [1.0] * (one.shape[1] - 1))
            losses.append(cross_entropy(one, labels[:, number], weight=weights))
        return torch.stack(losses).sum() / 2


class PictureHead(nn.Module):
    """Tells each detail of a staging from all patches of a clip, looking where it pleases."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Linear(PATCH_WIDTH, len(PICTURE_CLASSES))
        self.out = nn.ModuleList(nn.Linear(PATCH_WIDTH, number) for number in PICTURE_CLASSES)

    def loss(self, patches: Tensor, labels: Tensor, *, moving: bool) -> tuple[Tensor, list[float]]:
        """Mean cross entropy of the details, and the share of right ones of each.

        Args:
            patches: ``(clips, n, 256)``.
            labels: ``(clips, 8)``.
            moving: Whether the motion can be seen.
        """
        shares = self.where(patches).float().softmax(dim=1)
        seen = torch.einsum("bnk,bnd->bkd", shares, patches.float())
        losses, right = [], []
        for number, out in enumerate(self.out):
            if number == MOTION and not moving:
                continue
            logits = out(seen[:, number])
            losses.append(cross_entropy(logits, labels[:, number]))
            right.append(float((logits.argmax(1) == labels[:, number]).float().mean()))
        return torch.stack(losses).mean(), right
