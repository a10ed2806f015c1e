"""How `mini` reads a question and a clip: words to ids, pictures to frames, one sequence."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from tokenizers import Tokenizer

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.mini_network import MiniSequence
from clamr_rag.encoder.minilm import model_folder
from clamr_rag.encoder.stem import NUM_TOKENS, fitted, token_seconds
from clamr_rag.encoder.stop_words import STOP_WORDS
from clamr_rag.errors import UsageError
from clamr_rag.types import TEXT_MODALITIES, ClipInput, Modality

_CLS, _SEP, _PICTURE = 101, 102, 0
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A question as the trunk reads it."""

    sequence: MiniSequence
    kept: list[int]
    """Places in the sequence of the tokens that a clip is matched with."""
    spans: tuple[tuple[int, int], ...]
    """Where each of them stands in the question, characters from and to."""


class MiniReader:
    """Reads with the trunk's tokenizer, within the caps of the options."""

    def __init__(self, options: EncoderOptions, *, looks: bool, all_words: bool) -> None:
        """Loads the tokenizer.

        Args:
            options: The caps.
            looks: Read the frames of clips.
            all_words: Match all words of a question, not only those that say what is asked for.
        """
        self.looks = looks
        self._unmatched = frozenset() if all_words else STOP_WORDS
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
        # The published tokenizer pads and cuts at 128 tokens; caps are ours to set.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.caps = {
            Modality.OCR: options.ocr_tokens,
            Modality.ASR: options.asr_tokens,
            Modality.DESCRIPTION: options.description_tokens,
        }
        self._query_tokens = options.query_tokens

    def query(self, text: str) -> ReadQuery:
        """Reads a question as ``[CLS] words [SEP]``; a longer one than ``query_tokens`` is cut.

        Raises:
            UsageError: The text is blank or has no character the tokenizer knows.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids = encoding.ids[: self._query_tokens]
        if not ids:
            raise UsageError(f"got a blank question {text!r}", hint="ask something in words")
        pieces = encoding.tokens[: len(ids)]
        kept = [place for place, piece in enumerate(pieces) if self._matches(piece)]
        kept = kept or list(range(len(ids)))
        length = len(ids) + 2
        sequence = MiniSequence([_CLS, *ids, _SEP], list(range(length)), [0] * length, [])
        return ReadQuery(
            sequence,
            [place + 1 for place in kept],
            tuple(encoding.offsets[place] for place in kept),
        )

    def _matches(self, piece: str) -> bool:
        """Whether a piece of a word takes part in the score."""
        return any(c.isalnum() for c in piece) and piece not in self._unmatched

    def clip(self, clip: ClipInput) -> MiniSequence:
        """Lays a clip out: ``[CLS] frames [SEP] ocr [SEP] asr [SEP] description [SEP]``.

        Positions start anew with each text, so that every one may use its whole cap within the 512
        positions of the trunk; what is missing leaves no separator.
        """
        ids, positions, modalities, seconds = [_CLS], [0], [int(Modality.OTHER)], [_NAN]
        frames = fitted(clip.frames) if self.looks and clip.frames else None
        if frames is not None:
            ids += [_PICTURE] * NUM_TOKENS + [_SEP]
            positions += [0] * NUM_TOKENS + [1]
            modalities += [int(Modality.VIDEO)] * NUM_TOKENS + [int(Modality.OTHER)]
            seconds += [*token_seconds(clip.frame_seconds), _NAN]
        for modality in TEXT_MODALITIES:
            text = clip.text(modality)
            if text is None:
                continue
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            words = encoding.ids[: self.caps[modality]]
            marks = clip.text_marks.get(modality, ())
            ids += [*words, _SEP]
            positions += range(1, len(words) + 2)
            modalities += [int(modality)] * len(words) + [int(Modality.OTHER)]
            starts = [start for start, _ in encoding.offsets[: len(words)]]
            seconds += [*(_second_at(start, marks) for start in starts), _NAN]
        return MiniSequence(ids, positions, modalities, seconds, frames)


def _second_at(offset: int, marks: tuple[tuple[int, float], ...]) -> float:
    """Second of the last mark at or before a character offset, NaN before the first."""
    index = bisect_right(marks, offset, key=lambda mark: mark[0]) - 1
    return marks[index][1] if index >= 0 else _NAN
