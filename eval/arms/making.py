"""Arms by their names, made of parts that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial

from clamr_rag.encoder import Encoder, load_encoder
from clamr_rag.encoder.pooling import PoolingMethod
from clamr_rag.errors import UsageError
from clamr_rag.types import Modality
from eval.arms.arm import Arm
from eval.arms.encodings import EncodingCache
from eval.arms.late import (
    Encoding,
    Fusion,
    LateArm,
    best_modality,
    mean_of_modalities,
    mean_of_standard_scores,
)
from eval.arms.plain import NoArm, OracleArm, UniformArm
from eval.arms.ranking import RankFusion
from eval.arms.router import GoldRouterArm, Router, RouterArm, learn_router
from eval.arms.texts import Bm25Arm, DenseArm
from eval.sentences import Sentences

SINGLES: Mapping[str, Modality] = {
    "asr": Modality.ASR,
    "ocr": Modality.OCR,
    "description": Modality.DESCRIPTION,
    "video": Modality.VIDEO,
    "audio": Modality.AUDIO,
}


class ArmParts:
    """What arms share: an encoder and what it made, sentence vectors, a router."""

    def __init__(
        self,
        encoder: Encoder | None = None,
        *,
        cache: EncodingCache | None = None,
        vectors_per_clip: int = 0,
        pooling: PoolingMethod = "hierarchical",
    ) -> None:
        """Nothing is loaded before an arm needs it.

        Args:
            encoder: Of every arm of token vectors but ``mini``; None: ``clamr`` loads the released
                one, the others take `mini`.
            cache: Where encodings are remembered; None for memory only.
            vectors_per_clip: Budget that pooling leaves to a clip; 0 keeps all its vectors.
            pooling: How vectors that are alike are merged.
        """
        self.given = encoder
        self.cache = cache or EncodingCache()
        self.vectors_per_clip = vectors_per_clip
        self.pooling: PoolingMethod = pooling

    @cached_property
    def mini(self) -> Encoder:
        """The encoder that comes with the package."""
        return self.given if self.given and self.given.name == "mini" else load_encoder("mini")

    @property
    def encoder(self) -> Encoder:
        """The one given, else `mini`."""
        return self.given or self.mini

    @cached_property
    def clamr(self) -> Encoder:
        """The one given, else the released one."""
        return self.given or load_encoder("clamr")

    @cached_property
    def sentences(self) -> Sentences:
        """What makes one vector of a text."""
        return Sentences()

    @cached_property
    def router(self) -> Router:
        """Learned on the train split of the synthetic world."""
        return learn_router(self.sentences)

    def late(
        self,
        name: str,
        encoding: Encoding,
        *,
        encoder: Encoder | None = None,
        fuse: Fusion = best_modality,
        modality: Modality | None = None,
        by_token: bool = False,
    ) -> LateArm:
        """An arm of token vectors."""
        return LateArm(
            name,
            encoder or self.encoder,
            self.cache,
            encoding=encoding,
            fuse=fuse,
            modalities=None if modality is None else (modality,),
            by_token=by_token,
            vectors_per_clip=self.vectors_per_clip,
            pooling=self.pooling,
        )

    def singles(self) -> dict[Modality, Arm]:
        """One arm per modality that the encoder reads, each encoded alone."""
        return {
            modality: self.late(name, "separate", modality=modality)
            for name, modality in SINGLES.items()
            if modality in self.encoder.reads
        }

    def dense(self) -> DenseArm:
        """The arm of sentence vectors."""
        return DenseArm(self.sentences, self.cache)


def _single(name: str, encoding: Encoding, parts: ArmParts) -> Arm:
    modality = SINGLES[name.removeprefix("joint-")]
    return parts.late(name, encoding, modality=modality)


def _router(parts: ArmParts) -> Arm:
    return RouterArm(parts.router, parts.sentences, parts.cache, parts.singles())


_MAKERS: Mapping[str, Callable[[ArmParts], Arm]] = {
    "joint": lambda parts: parts.late("joint", "joint"),
    "mini": lambda parts: parts.late("mini", "joint", encoder=parts.mini),
    "clamr": lambda parts: parts.late("clamr", "joint", encoder=parts.clamr),
    "joint-token-max": lambda parts: parts.late("joint-token-max", "joint", by_token=True),
    **{name: partial(_single, name, "separate") for name in SINGLES},
    **{f"joint-{name}": partial(_single, f"joint-{name}", "joint") for name in SINGLES},
    "mean": lambda parts: parts.late("mean", "separate", fuse=mean_of_modalities),
    "mean-z": lambda parts: parts.late("mean-z", "separate", fuse=mean_of_standard_scores),
    "max": lambda parts: parts.late("max", "separate"),
    "rrf": lambda parts: RankFusion("rrf", list(parts.singles().values())),
    "router": _router,
    "router-gold": lambda parts: GoldRouterArm(parts.singles()),
    "bm25": lambda parts: Bm25Arm(),
    "dense": lambda parts: parts.dense(),
    "bm25+dense": lambda parts: RankFusion("bm25+dense", [Bm25Arm(), parts.dense()]),
    "bm25+rrf": lambda parts: RankFusion("bm25+rrf", [Bm25Arm(), *parts.singles().values()]),
    "uniform": lambda parts: UniformArm(),
    "oracle": lambda parts: OracleArm(),
    "none": lambda parts: NoArm(),
}
ARM_NAMES = tuple(_MAKERS)
"""All arms, in the order of the tables."""


def make_arm(name: str, parts: ArmParts) -> Arm:
    """Makes an arm; its weights are loaded if they are not yet.

    Raises:
        UsageError: There is no such arm, or the encoder does not read what it ranks by.
        ModelMissingError: The weights of its encoder are not on this machine.
    """
    if name not in _MAKERS:
        raise UsageError(f"got retriever {name!r}", allowed=", ".join(ARM_NAMES))
    return _MAKERS[name](parts)
