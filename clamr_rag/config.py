"""One frozen options object per stage; every default of the program is written here, once.

The command line, the environment and the TOML files are derived from these models.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class StageOptions(BaseModel):
    """Base of the options of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def fingerprint(self) -> str:
        """Hex digest of all values: a finished stage is reused only under the same one."""
        values = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]


class MediaOptions(StageOptions):
    """Limits of the child process that opens a user's file."""

    memory_bytes: int = Field(1 << 31, gt=0, description="Address space of the decoder child.")
    stall_seconds: float = Field(
        30.0, gt=0, description="Longest silence of the decoder child before it is given up."
    )
    max_pixels: int = Field(67_108_864, gt=0, description="Largest picture that is decoded.")
    max_sidecar_bytes: int = Field(
        16 << 20, gt=0, description="Largest subtitle or metadata file that is read."
    )
    max_cues: int = Field(200_000, gt=0, description="Most subtitle cues that are read of a file.")


class SegmentationOptions(StageOptions):
    """How a video is cut into clips."""

    segmenter: Literal["combined", "fixed", "shots", "speech"] = Field(
        "combined", description="What decides the cuts; combined weighs shots and speech."
    )
    min_seconds: float = Field(10.0, gt=0, description="Shortest clip (the last may be shorter).")
    max_seconds: float = Field(30.0, gt=0, description="Longest clip.")


class SpeechOptions(StageOptions):
    """Where speech text comes from."""

    speech: Literal["auto", "subtitles", "asr", "none"] = Field(
        "auto",
        description="auto: human subtitles, else speech recognition if its model is here.",
    )
    asr_model: str = Field(
        "small", description="faster-whisper model: a size, a folder, or a hub id."
    )
    language: str | None = Field(
        None, description="ISO 639 code of the speech and of the subtitles wanted; None detects."
    )
    window_seconds: float = Field(300.0, gt=0, description="Sound that is transcribed at a time.")


class OcrOptions(StageOptions):
    """How on-screen text is read."""

    ocr: Literal["rapidocr", "easyocr", "none"] = Field(
        "rapidocr", description="Engine that reads the screen."
    )
    min_confidence: float = Field(0.5, ge=0, le=1, description="Weaker lines are dropped.")
    max_side: int = Field(736, ge=32, description="Detector input: longest side in pixels.")


class ScanOptions(StageOptions):
    """The one pass over the pictures that finds shots and reads the screen."""

    interval_seconds: float = Field(1.0, gt=0, description="One frame is looked at per interval.")
    chunk_seconds: float = Field(
        300.0, gt=0, description="Video time after which the pass saves its progress."
    )


EMBEDDED_ENCODERS = ("mini", "mini-vl")
"""Names of the encoders that come with the package."""


class EncoderOptions(StageOptions):
    """What an encoder reads of a query and of a clip."""

    query_tokens: int = Field(64, gt=0, description="Longest query, prefix included.")
    ocr_tokens: int = Field(256, gt=0, description="Most on-screen text tokens per clip.")
    asr_tokens: int = Field(256, gt=0, description="Most speech tokens per clip.")
    description_tokens: int = Field(256, gt=0, description="Most metadata tokens per clip.")
    max_frames: int = Field(10, gt=0, description="Most frames per clip.")
    max_pixels: int = Field(
        224 * 224, ge=4 * 28 * 28, description="Most pixels of a frame as the model sees it."
    )
    max_audio_seconds: float = Field(
        30.0, gt=0, description="Most sound of a clip that a hearing encoder reads."
    )
    augmentation_tokens: int = Field(
        10, ge=0, description="Tokens appended to a query (released code 10, paper 5)."
    )
    true_frame_times: bool = Field(
        False,
        description="Place frames at their true times; off is one second per pair, as released.",
    )
    released_omni_message: bool | None = Field(
        None,
        description="Chat message of the released Omni code; None: only for the released weights.",
    )
    seeded_projection: bool = Field(
        False,
        description="Let an adapter that was saved without its projection draw one from a fixed "
        "seed; it is not the training run's own.",
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="Attention kernel of the language model; auto is sdpa."
    )
    batch_clips: int = Field(8, gt=0, description="Clips the encoder reads at a time.")


class IndexOptions(StageOptions):
    """How clips are stored and found."""

    vectors_per_clip: int = Field(
        64,
        ge=0,
        description="Token vectors kept per clip after pooling, at least one per modality; "
        "0 keeps all.",
    )
    pooling: Literal["hierarchical", "shared", "kmeans"] = Field(
        "hierarchical",
        description="How token vectors that are alike are found and merged; "
        "shared lets modalities whose vectors differ most keep most of them.",
    )
    codec: Literal["int8", "fp16"] = Field("int8", description="Storage form of token vectors.")


class SearchOptions(StageOptions):
    """How clips are ranked."""

    scorer: Literal["modality_max", "token_max"] = Field(
        "modality_max", description="Late-interaction score that ranks clips."
    )
    top_k: int = Field(5, gt=0, description="Clips returned.")
    candidates: Literal["exact", "chroma"] = Field(
        "exact", description="Where candidates come from; they are always re-scored exactly."
    )
    chroma_url: str | None = Field(
        None, description="A Chroma server's address; None keeps a folder beside the library."
    )
    num_candidates: int = Field(
        1000, gt=0, description="Records asked of a candidate index per query token group."
    )


class AnswerOptions(StageOptions):
    """How a question is answered from the clips found."""

    answerer: str = Field(
        "auto",
        pattern=r"^(auto|extractive|openai:.*\S.*|hf:.*\S.*)$",
        examples=["auto", "extractive", "openai:MODEL", "hf:MODEL"],
        description="What writes the answer: quotes, a model on any OpenAI-compatible server, or a "
        "local video LLM; auto is the model of --base-url's server, else quotes.",
    )
    base_url: str | None = Field(
        None, description="OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1."
    )
    abstain_below: float = Field(
        0.5, ge=0, le=1, description="Confidence under which no answer is given."
    )
    frames: int = Field(
        16, ge=0, description="Most pictures shown to a model that answers; 0 shows none."
    )
    overview_frames: int = Field(
        4,
        ge=0,
        description="Of these, a quarter at most: spread evenly over the best clip's whole video.",
    )
    frame_side: int = Field(
        512, ge=56, description="Longest side in pixels of a picture shown to a model."
    )
    neighbours: int = Field(
        1, ge=0, description="Clips before and after each clip found whose texts are read too."
    )
    speech_characters: int = Field(12_000, ge=0, description="Most speech shown to a model.")
    screen_characters: int = Field(6_000, ge=0, description="Most screen text shown to a model.")
    metadata_characters: int = Field(2_000, ge=0, description="Most metadata shown to a model.")
    max_answer_tokens: int = Field(512, gt=0, description="Longest answer of a model.")
    timeout_seconds: float = Field(
        120.0, gt=0, description="Longest silence of a server before it is given up."
    )
    retries: int = Field(
        2, ge=0, description="New attempts where a server is busy or cannot be reached."
    )


class LibraryOptions(StageOptions):
    """Which library a program opens, and with which encoder; not part of what a stage hashes."""

    path: str | None = Field(
        None, description="Folder of the library; None is the user's data folder."
    )
    encoder: str = Field(
        "mini", description="mini, mini-vl, clamr, clamr-omni, or a checkpoint's folder or hub id."
    )
    adapter: str | None = Field(
        None, description="Folder or hub id of a LoRA adapter on top of a checkpoint."
    )
    device: str = Field(
        "auto", description="Where models run: auto, or cpu, cuda, cuda:1, mps where it is there."
    )
    dtype: str = Field("auto", description="Number format of the encoder's weights.")


class Options(BaseModel):
    """All stages together: what a configuration file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media: MediaOptions = MediaOptions()
    segmentation: SegmentationOptions = SegmentationOptions()
    speech: SpeechOptions = SpeechOptions()
    ocr: OcrOptions = OcrOptions()
    scan: ScanOptions = ScanOptions()
    encoder: EncoderOptions = EncoderOptions()
    index: IndexOptions = IndexOptions()
    search: SearchOptions = SearchOptions()
    answer: AnswerOptions = AnswerOptions()
