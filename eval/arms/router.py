"""A router: guesses from the query which modality tells, and searches that one alone.

The guess is linear in the query's sentence vector: least squares with a ridge on queries of the
synthetic world's *train* split, each with the modality that it is about. No other split shares its
phrasings and words, and a published benchmark does even less: there the router guesses from afar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clamr_rag.types import FloatArray, Modality
from eval.arms.arm import Arm, ArmQuery, Found, IndexCost
from eval.arms.encodings import EncodingCache
from eval.arms.pools import ClipPool
from eval.arms.ranking import added_costs
from eval.sentences import Sentences

TRAIN_SEED, TRAIN_HOURS = 0, 0.5
"""The world whose queries it learns from."""
_RIDGE = 1.0
"""Chosen on the dev split (1: 73 % of queries routed rightly; 10: 70 %; nearest mean: 70 %)."""


@dataclass(frozen=True, slots=True, eq=False)
class Router:
    """Names the modality that a query is about."""

    modalities: tuple[Modality, ...]
    weights: FloatArray
    """``(384, modalities)``."""
    biases: FloatArray
    """``(modalities,)``."""

    def order(self, vector: FloatArray) -> list[Modality]:
        """The modalities, likeliest first, for a query's sentence vector ``(384,)``."""
        scores = vector @ self.weights + self.biases
        return [self.modalities[number] for number in np.argsort(-scores, kind="stable")]


def learn_router(
    sentences: Sentences, examples: Sequence[tuple[str, Modality]] | None = None
) -> Router:
    """Fits a router.

    Args:
        sentences: What makes a vector of a query.
        examples: Queries with their modality; None for those of the train split.

    Raises:
        ValueError: There is no example.
    """
    examples = train_examples() if examples is None else examples
    if not examples:
        raise ValueError("got no examples; a router needs queries with their modality")
    vectors = sentences.encode([text for text, _ in examples]).astype(np.float64)
    modalities = sorted({modality for _, modality in examples})
    targets = np.array([[of == modality for modality in modalities] for _, of in examples], float)
    centre, shares = vectors.mean(axis=0), targets.mean(axis=0)
    rows = vectors - centre
    gram = rows.T @ rows + _RIDGE * np.eye(rows.shape[1])
    weights = np.linalg.solve(gram, rows.T @ (targets - shares))
    biases = shares - centre @ weights
    return Router(tuple(modalities), weights.astype(np.float32), biases.astype(np.float32))


def train_examples() -> list[tuple[str, Modality]]:
    """Questions and searches of the train split that are about one modality."""
    from eval.synthetic import make_questions, make_world
    from eval.synthetic.questions import NAMES

    by_name = {name: modality for modality, name in NAMES.items()}
    questions = make_questions(make_world(TRAIN_SEED, TRAIN_HOURS, "train"))
    return [
        (text, by_name[question.modalities[0]])
        for question in questions
        if len(question.modalities) == 1
        for text in (question.question, question.query)
    ]


class RouterArm:
    """Searches the one modality that the router names, else the next that there is an arm for."""

    name = "router"

    def __init__(
        self,
        router: Router,
        sentences: Sentences,
        cache: EncodingCache,
        arms: Mapping[Modality, Arm],
    ) -> None:
        self._router = router
        self._sentences = sentences
        self._cache = cache
        self._arms = arms

    @property
    def details(self) -> str:
        """See `Arm.details`."""
        return f"ridge on train seed {TRAIN_SEED}, {TRAIN_HOURS} hours: {_details(self._arms)}"

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`; every modality must be searchable."""
        return added_costs(arm.index(pool) for arm in self._arms.values())

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`."""
        return self._arms[self.route(query)].rank(query, top_k)

    def route(self, query: ArmQuery) -> Modality:
        """The modality that is searched for a query."""
        vector = self._cache.once(
            ("sentence", query.text), lambda: self._sentences.encode([query.text])[0]
        )
        return next(m for m in self._router.order(vector) if m in self._arms)


class GoldRouterArm:
    """Searches the modality that the query is known to be about: no router can do better."""

    name = "router-gold"

    def __init__(self, arms: Mapping[Modality, Arm]) -> None:
        self._arms = arms

    @property
    def details(self) -> str:
        """See `Arm.details`."""
        return _details(self._arms)

    def index(self, pool: ClipPool) -> IndexCost:
        """See `Arm.index`."""
        return added_costs(arm.index(pool) for arm in self._arms.values())

    def rank(self, query: ArmQuery, top_k: int | None = None) -> list[Found]:
        """See `Arm.rank`; nothing is found where the modality is not known, or not read."""
        arm = self._arms.get(query.modality) if query.modality else None
        return arm.rank(query, top_k) if arm else []


def _details(arms: Mapping[Modality, Arm]) -> str:
    return "; ".join(f"{arm.name} ({arm.details})" for arm in arms.values())
