"""A clip or a query as the sequence that CLaMR's language model reads.

One chat turn per clip: frames first, then (Omni) sound, then OCR, ASR, description. The sequence is
put together from parts, so that the modality and the source second of every token are known by
construction, and equals what the released code gets by tokenising the whole chat string (its own
modality ids drift, see shared/research/clamr.md B5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.patches import (
    FRAMES_PER_PATCH,
    MERGE_PATCHES,
    PATCH_PIXELS,
    PatchedFrames,
    patch_frames,
    pick_frames,
    smart_resize,
)
from clamr_rag.encoder.sound import SAMPLE_RATE, TOKEN_SECONDS, log_mel, num_audio_tokens
from clamr_rag.errors import ModelMissingError, UsageError
from clamr_rag.types import TEXT_MODALITIES, ByteArray, ClipInput, FloatArray, Modality

IntArray = npt.NDArray[np.int64]

QUERY_PREFIX = "Query: "
AUGMENTATION_TOKEN = "<|endoftext|>"
_PREFIXES = {Modality.OCR: "OCR: ", Modality.ASR: "ASR: ", Modality.DESCRIPTION: "Description: "}
_PERSONA = "You are a helpful assistant."
_OMNI_PERSONA = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of "
    "perceiving auditory and visual inputs, as well as generating text and speech."
)
_NO_SECOND = float("nan")


@dataclass(frozen=True, slots=True)
class AudioTokens:
    """The token ids that stand for sound."""

    audio: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ModelTokens:
    """The token ids that stand for frames and sound, and the clock of the positions."""

    video: int
    vision_start: int
    vision_end: int
    positions_per_second: float
    """Steps of the temporal position per second: 2 for Qwen2.5-VL, 25 for Omni."""
    sound: AudioTokens | None = None
    """None where the model does not hear."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenSequence:
    """What the model reads of one clip or query, without padding."""

    ids: IntArray
    """Token ids ``(n,)``."""
    modalities: ByteArray
    """`Modality` of each token ``(n,)``."""
    seconds: FloatArray
    """Source time of each token ``(n,)``, NaN where it has none."""
    positions: IntArray
    """Time, row and column of each token for M-RoPE ``(3, n)``."""
    frames: PatchedFrames | None = None
    mel: FloatArray | None = None
    """Log-mel frames ``(128, m)``."""

    def __len__(self) -> int:
        return len(self.ids)


class ChatTokenizer:
    """The checkpoint's tokenizer, and the same one blind to special tokens for users' text."""

    def __init__(self, path: Path) -> None:
        self._template = _load_tokenizer(path)
        # A user's "<|im_end|>" must stay text; the switch is a state of the tokenizer, hence two.
        self._plain = _load_tokenizer(path)
        self._plain.encode_special_tokens = True
        added = self._template.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}

    def template_ids(self, text: str) -> list[int]:
        """Ids of template text, special tokens recognised."""
        return list(self._template.encode(text, add_special_tokens=False).ids)

    def text_ids(self, text: str) -> list[int]:
        """Ids of a user's text."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def special_id(self, *names: str) -> int:
        """Id of the first of these tokens that the checkpoint knows."""
        for name in names:
            number = self._template.token_to_id(name)
            if number is not None:
                return int(number)
        raise UsageError(
            f"the checkpoint's tokenizer has no token {' or '.join(names)}",
            allowed="tokenizers of Qwen2.5-VL and Qwen2.5-Omni",
        )

    def token_text(self, number: int) -> str:
        """A token as a reader sees it."""
        return str(self._template.decode([number], skip_special_tokens=False))

    def cut(self, prefix: str, text: str, max_tokens: int) -> tuple[list[int], list[int]]:
        """Tokenises ``prefix + text``, keeps ``max_tokens`` of it, and tokenises that in its place.

        As the released code does: special tokens are dropped, and a space goes before the prefix.

        Returns:
            Token ids, and for each the character of ``text`` that it ends in (negative: prefix).
        """
        first = self._template.encode(prefix + text, add_special_tokens=False)
        kept_ids = list(first.ids)[:max_tokens]
        kept = self._template.decode(kept_ids, skip_special_tokens=True)
        ids = self.text_ids(f" {kept}")
        sources: list[int] = []
        for number, (_, stop) in zip(kept_ids, first.offsets, strict=False):
            if number not in self._special:
                sources += [stop - 1 - len(prefix)] * self._num_bytes(number)
        ends = np.cumsum([self._num_bytes(number) for number in ids]) - 2
        return ids, [sources[min(max(end, 0), len(sources) - 1)] for end in ends]

    def _num_bytes(self, number: int) -> int:
        # One letter of a byte-level token stands for one byte of UTF-8.
        return len(self._template.id_to_token(number) or "")


class ClipProcessor:
    """Turns clips and questions into token sequences for one model."""

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        tokens: ModelTokens,
        options: EncoderOptions,
        *,
        released_message: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._options = options
        self._caps = {
            Modality.OCR: options.ocr_tokens,
            Modality.ASR: options.asr_tokens,
            Modality.DESCRIPTION: options.description_tokens,
        }
        persona = _OMNI_PERSONA if tokens.sound else _PERSONA
        # The released Omni code misspells the key "role", so its template printed an empty one.
        role = "" if released_message else "user"
        self._header = tokenizer.template_ids(
            f"<|im_start|>system\n{persona}<|im_end|>\n<|im_start|>{role}\n"
        )
        self._footer = tokenizer.template_ids("<|im_end|>\n")
        self._augmentation = [
            tokenizer.special_id(AUGMENTATION_TOKEN)
        ] * options.augmentation_tokens

    def query(self, text: str) -> TokenSequence:
        """The sequence of a question: prefix, text and augmentation, cut to the limit."""
        if not text.strip():
            raise UsageError("the question is blank", hint="ask about the videos in words")
        ids = self._tokenizer.text_ids(QUERY_PREFIX + text) + self._augmentation
        assembly = _Assembly()
        assembly.add_tokens(ids[: self._options.query_tokens])
        return assembly.finish()

    def clip(self, clip: ClipInput) -> TokenSequence:
        """The sequence of a clip; of no tokens where it has no modality at all."""
        assembly = _Assembly()
        assembly.add_tokens(self._header)
        if clip.frames:
            self._add_frames(assembly, clip)
        if clip.audio is not None and self._tokens.sound:
            self._add_sound(assembly, self._tokens.sound, clip.audio, clip.audio_start_seconds)
        for modality in TEXT_MODALITIES:
            self._add_text(assembly, clip, modality)
        if not assembly.has_content:
            return _Assembly().finish()
        assembly.add_tokens(self._footer)
        return assembly.finish()

    def rough_length(self, clip: ClipInput) -> int:
        """About how many tokens a clip has, without reading it: to batch clips of like length."""
        letters_per_token = 4
        frames = 0
        if clip.frames:
            height, width = smart_resize(
                *clip.frames[0].shape[:2], max_pixels=self._options.max_pixels
            )
            pairs = -(-min(len(clip.frames), self._options.max_frames) // FRAMES_PER_PATCH)
            frames = pairs * height * width // (PATCH_PIXELS * MERGE_PATCHES) ** 2
        texts = (
            min(self._caps[modality], len(_raw_text(clip, modality) or "") // letters_per_token)
            for modality in TEXT_MODALITIES
        )
        return frames + self._rough_sound_length(clip) + sum(texts)

    def _rough_sound_length(self, clip: ClipInput) -> int:
        if clip.audio is None or not self._tokens.sound:
            return 0
        seconds = min(len(clip.audio) / SAMPLE_RATE, self._options.max_audio_seconds)
        return int(seconds / TOKEN_SECONDS)

    def token_texts(self, sequence: TokenSequence) -> tuple[str, ...]:
        """Each token as a reader sees it."""
        return tuple(self._tokenizer.token_text(number) for number in sequence.ids.tolist())

    def _add_frames(self, assembly: _Assembly, clip: ClipInput) -> None:
        kept = pick_frames(len(clip.frames), self._options.max_frames)
        seconds = [clip.frame_seconds[i] for i in kept][::FRAMES_PER_PATCH]
        patches = patch_frames([clip.frames[i] for i in kept], max_pixels=self._options.max_pixels)
        if self._tokens.sound:
            assembly.add_tokens(self._tokenizer.template_ids("Video: "))
        assembly.add_tokens([self._tokens.vision_start], Modality.VIDEO, seconds[:1])
        assembly.add_frames(self._tokens.video, patches, seconds, self._steps(seconds))
        assembly.add_tokens([self._tokens.vision_end])

    def _steps(self, seconds: Sequence[float]) -> list[int]:
        """Temporal position of each frame pair, from its time or one second apart."""
        times = (
            [second - seconds[0] for second in seconds]
            if self._options.true_frame_times
            else range(len(seconds))
        )
        return [int(time * self._tokens.positions_per_second) for time in times]

    def _add_sound(
        self, assembly: _Assembly, tokens: AudioTokens, samples: FloatArray, start: float | None
    ) -> None:
        mel = log_mel(samples, max_seconds=self._options.max_audio_seconds)
        count = num_audio_tokens(mel.shape[1])
        if not count:
            return
        seconds = [_NO_SECOND if start is None else start + i * TOKEN_SECONDS for i in range(count)]
        assembly.add_tokens(self._tokenizer.template_ids("Audio: "))
        assembly.add_tokens([tokens.start], Modality.AUDIO, seconds[:1])
        assembly.add_tokens([tokens.audio] * count, Modality.AUDIO, seconds)
        assembly.add_tokens([tokens.end])
        assembly.mel = mel

    def _add_text(self, assembly: _Assembly, clip: ClipInput, modality: Modality) -> None:
        text = _raw_text(clip, modality)
        if text is None:
            return
        ids, characters = self._tokenizer.cut(_PREFIXES[modality], text, self._caps[modality])
        marks = clip.text_marks.get(modality, ())
        assembly.add_tokens(ids, modality, [_second_at(marks, at) for at in characters])


class _Assembly:
    """Token arrays that grow part by part, with the next M-RoPE position."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._modalities: list[int] = []
        self._seconds: list[float] = []
        self._positions: list[IntArray] = [np.zeros((3, 0), np.int64)]
        self._next_position = 0
        self._frames: PatchedFrames | None = None
        self.mel: FloatArray | None = None

    @property
    def has_content(self) -> bool:
        return any(self._modalities)

    def add_tokens(
        self,
        ids: Sequence[int],
        modality: Modality = Modality.OTHER,
        seconds: Sequence[float] | None = None,
    ) -> None:
        """Adds text or sound: one step of all three positions per token."""
        steps = np.broadcast_to(np.arange(len(ids)), (3, len(ids)))
        self._add(ids, modality, seconds or [_NO_SECOND] * len(ids), steps)

    def add_frames(
        self,
        token: int,
        frames: PatchedFrames,
        seconds: Sequence[float],
        steps: Sequence[int],
    ) -> None:
        """Adds the tokens of frame pairs ``(t, rows, columns)``, one second and step per pair."""
        rows, columns = (side // MERGE_PATCHES for side in frames.grid[1:])
        grid = np.stack(
            np.meshgrid(np.array(steps), np.arange(rows), np.arange(columns), indexing="ij")
        ).reshape(3, -1)
        per_token = np.repeat(np.array(seconds, np.float64), rows * columns).tolist()
        self._add([token] * frames.num_tokens, Modality.VIDEO, per_token, grid)
        self._frames = frames

    def finish(self) -> TokenSequence:
        return TokenSequence(
            ids=np.array(self._ids, np.int64),
            modalities=np.array(self._modalities, np.uint8),
            seconds=np.array(self._seconds, np.float32),
            positions=np.concatenate(self._positions, axis=1),
            frames=self._frames,
            mel=self.mel,
        )

    def _add(
        self, ids: Sequence[int], modality: Modality, seconds: Sequence[float], steps: IntArray
    ) -> None:
        if not ids:
            return
        self._ids += ids
        self._modalities += [int(modality)] * len(ids)
        self._seconds += seconds
        self._positions.append(steps + self._next_position)
        # The next part goes after the largest position of all three axes, time included, as in
        # transformers 4.51 that the weights were trained with; 5.x counts rows and columns only.
        self._next_position += int(steps.max()) + 1


def _raw_text(clip: ClipInput, modality: Modality) -> str | None:
    """The text as given: the released code reads "" as a prefix without text, so does this."""
    return {
        Modality.OCR: clip.ocr,
        Modality.ASR: clip.asr,
        Modality.DESCRIPTION: clip.description,
    }[modality]


def _second_at(marks: Sequence[tuple[int, float]], character: int) -> float:
    """Second of the last mark at or before the character; NaN before the first."""
    index = bisect_right(marks, character, key=lambda mark: mark[0]) - 1
    return marks[index][1] if index >= 0 else _NO_SECOND


def _load_tokenizer(path: Path) -> Tokenizer:
    if not path.is_file():
        raise ModelMissingError(
            f"no tokenizer.json in {path.parent}", hint="fetch the whole checkpoint again"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    # The package raises bare exceptions for whatever is wrong with the file.
    except Exception as error:
        raise UsageError(
            f"{path} is damaged: {error}", hint="fetch the whole checkpoint again"
        ) from error
    # Files saved after training may carry padding and truncation; ours are explicit.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
