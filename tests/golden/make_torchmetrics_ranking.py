"""Makes torchmetrics_ranking.json with the real torchmetrics, which the tests do not need.

    pip install torchmetrics==1.9.0 && python tests/golden/make_torchmetrics_ranking.py

The scores are multiples of 1/8, exact in every float type, so that ties are ties.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torchmetrics.functional.retrieval import retrieval_normalized_dcg
from torchmetrics.retrieval import RetrievalNormalizedDCG, RetrievalRecall

CUTOFFS = (1, 5, 10)


def diagonal_metrics(scores: np.ndarray) -> dict[str, float]:
    """As CLaMR's compute_metrics: all pairs at once, row i relevant to query i."""
    n = len(scores)
    preds = torch.tensor(scores, dtype=torch.float32).flatten()
    target, indexes = torch.eye(n).long().flatten(), torch.arange(n).repeat_interleave(n)
    metrics = {"nDCG@10": RetrievalNormalizedDCG(top_k=10)}
    metrics |= {f"R@{cutoff}": RetrievalRecall(top_k=cutoff) for cutoff in CUTOFFS}
    return {name: float(metric(preds, target, indexes=indexes)) for name, metric in metrics.items()}


def matrices(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Score matrices by what is particular about them."""
    distinct = np.stack([rng.permutation(24) + 1 for _ in range(24)])
    videos = rng.integers(7, size=24)
    by_video = rng.integers(1, 9, size=(24, 7))
    alone = rng.permutation(24 * 24).reshape(24, 24) - 500
    return {
        "no ties": distinct / 8,
        "no ties, most scores at or below 0": alone / 8,
        "copies of 7 videos tie": by_video[:, videos] / 8,
        "few values": rng.integers(1, 4, size=(24, 24)) / 8,
        "few values, some at or below 0": rng.integers(-2, 3, size=(24, 24)) / 8,
        "all equal": np.full((24, 24), 0.5),
        "fewer rows than the cutoff": rng.integers(1, 3, size=(4, 4)) / 8,
    }


def main() -> None:
    """Writes the file beside this one."""
    rng = np.random.default_rng(20260412)
    graded = []
    for _ in range(40):
        size = int(rng.integers(1, 16))
        preds = rng.integers(-3, 4, size=size) / 8
        target = rng.integers(0, 4, size=size)
        target[0] = max(target[0], 1)
        for cutoff in (1, 3, 10):
            value = retrieval_normalized_dcg(
                torch.tensor(preds, dtype=torch.float32), torch.tensor(target), top_k=cutoff
            )
            graded.append(
                {
                    "scores": preds.tolist(),
                    "grades": target.tolist(),
                    "cutoff": cutoff,
                    "ndcg": float(value),
                }
            )
    golden = {
        "made_by": "python tests/golden/make_torchmetrics_ranking.py",
        "torchmetrics": torchmetrics.__version__,
        "torch": torch.__version__,
        "diagonal": [
            {"about": about, "scores": scores.tolist(), "metrics": diagonal_metrics(scores)}
            for about, scores in matrices(rng).items()
        ],
        "graded": graded,
    }
    path = Path(__file__).with_name("torchmetrics_ranking.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
