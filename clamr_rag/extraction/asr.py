"""Speech recognition by faster-whisper, one window of sound at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clamr_rag.errors import ExtractionError, ModelMissingError, UsageError
from clamr_rag.extraction.phrases import cut_into_cues, without_loops
from clamr_rag.types import AudioWindow, Cue, Word

if TYPE_CHECKING:
    from clamr_rag.config import SpeechOptions

_NEEDED_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without its tokenizer.json faster-whisper would fetch one from the hub."""


def model_is_here(asr_model: str) -> bool:
    """Whether a model (a size, a folder or a hub id) can be loaded without the network.

    Raises:
        UsageError: The name is none of these.
    """
    return _model_folder(asr_model) is not None


def asr_name(asr_model: str) -> str:
    """The recogniser as said in the output, e.g. ``"faster-whisper small"``."""
    return f"faster-whisper {Path(asr_model).name if _is_path(asr_model) else asr_model}"


def how_to_fetch(asr_model: str) -> str:
    """The line that tells a user how to get the model."""
    if _is_path(asr_model):
        return "give the folder of a faster-whisper model with --asr-model PATH"
    return f"fetch it with 'hf download {_hub_id(asr_model)}' or give --asr-model PATH"


class FasterWhisperTranscriber:
    """Whisper on CTranslate2, with voice detection, word times and a language per half minute.

    Greedy without temperature: sampled retries would make a resumed run differ from a whole one.
    """

    def __init__(self, options: SpeechOptions, device: str = "auto", threads: int = 2) -> None:
        folder = _model_folder(options.asr_model)
        if folder is None:
            raise ModelMissingError(
                f"the speech model '{options.asr_model}' is not on this machine",
                hint=how_to_fetch(options.asr_model),
            )
        self.name = asr_name(options.asr_model)
        self._model = _load(folder, device, threads)
        self._language = self._checked_language(options.language)

    def transcribe(self, window: AudioWindow) -> tuple[Cue, ...]:
        """Returns the speech of the window, cut at sentence ends; ``()`` where nobody speaks."""
        if not len(window.samples):
            return ()
        try:
            pieces, _ = self._model.transcribe(
                window.samples,
                language=self._language,
                multilingual=self._language is None and self._model.model.is_multilingual,
                # Whisper invents speech for silence and music: it is not shown any.
                vad_filter=True,
                word_timestamps=True,
                # An error in one half minute would otherwise be carried into the next.
                condition_on_previous_text=False,
                temperature=0.0,
            )
            words = without_loops(_words(pieces, window))
        except (RuntimeError, ValueError, IndexError) as error:
            raise ExtractionError(
                f"{self.name} broke down in the sound from {window.start_seconds:.0f} s: {error}"
            ) from None
        return cut_into_cues(words)

    def _checked_language(self, language: str | None) -> str | None:
        """The language as Whisper names it."""
        if language is None:
            return None
        code = language.replace("_", "-").split("-")[0].lower()
        if code not in self._model.supported_languages:
            raise UsageError(
                f"speech language '{language}', which {self.name} does not know",
                allowed=", ".join(sorted(self._model.supported_languages)),
            )
        return code


def _words(pieces: Iterable[Any], window: AudioWindow) -> list[Word]:
    """All words in video time, in order, kept within the window."""
    latest = len(window.samples) / 16_000
    words = []
    # The recogniser is lazy: it works, and fails, while this runs.
    for piece in pieces:
        for word in piece.words or ():
            start = min(max(float(word.start), 0.0), latest)
            stop = min(max(float(word.end), start), latest)
            words.append(Word(window.start_seconds + start, window.start_seconds + stop, word.word))
    return words


def _load(folder: Path, device: str, threads: int) -> Any:
    from faster_whisper import WhisperModel

    kind, _, number = device.partition(":")
    try:
        return WhisperModel(
            str(folder),
            device=kind,
            device_index=int(number or 0),
            compute_type="auto",
            cpu_threads=threads,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ExtractionError(
            f"the speech model in {folder} cannot be loaded: {error}",
            hint="fetch it again or give another with --asr-model PATH",
        ) from None


def _model_folder(asr_model: str) -> Path | None:
    """The folder of a model that is complete on this machine, else None."""
    if _is_path(asr_model):
        folder = Path(asr_model).expanduser()
    else:
        from huggingface_hub import try_to_load_from_cache

        # Only the cache is asked: nothing is fetched that the user did not ask for.
        weights = try_to_load_from_cache(_hub_id(asr_model), "model.bin")
        if not isinstance(weights, str):
            return None
        folder = Path(weights).parent
    return folder if all((folder / name).is_file() for name in _NEEDED_FILES) else None


def _is_path(asr_model: str) -> bool:
    """Whether a name means a folder: it exists, or no hub id looks like it."""
    looks_like_path = asr_model.startswith((".", "/", "~")) or "\\" in asr_model
    return looks_like_path or asr_model.count("/") > 1 or Path(asr_model).is_dir()


def _hub_id(asr_model: str) -> str:
    """The hub id of a model size, or the id itself."""
    if "/" in asr_model:
        return asr_model
    # The package has the sizes in public, but their hub ids only here.
    from faster_whisper.utils import _MODELS

    if asr_model not in _MODELS:
        raise UsageError(
            f"speech model '{asr_model}'",
            allowed=f"a folder, a hub id (owner/name), or {', '.join(_MODELS)}",
        )
    return str(_MODELS[asr_model])
