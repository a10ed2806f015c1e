"""Speech recognition through the real loading code, on a tiny Whisper with random weights.

There are no trained weights on a bare machine: what is tested is everything but the hearing. The
voice detector is the real one.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from clamr_rag.config import SpeechOptions
from clamr_rag.errors import ExtractionError, ModelMissingError, UsageError
from clamr_rag.extraction.asr import (
    FasterWhisperTranscriber,
    asr_name,
    how_to_fetch,
    model_is_here,
)
from clamr_rag.types import AudioWindow, FloatArray

RATE = 16_000


def save_tiny_whisper(folder: Path) -> Path:
    """Makes a checkpoint with transformers and converts it as its users do."""
    import torch
    import transformers
    from ctranslate2.converters import TransformersConverter
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    # CTranslate2 takes a vocabulary for multilingual if it has an empty entry, as Whisper's has.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"Ġword{number}" for number in range(1000)), ""]
    tokenizer = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    languages = [f"<|{code}|>" for code in LANGUAGES]
    marks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    names = ["<|endoftext|>", "<|startoftranscript|>", *languages, *(f"<|{m}|>" for m in marks)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(1501)])
    ids = tokenizer.get_vocab()

    torch.manual_seed(0)
    end = ids["<|endoftext|>"]
    model = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(
            vocab_size=len(ids),
            d_model=32,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=ids["<|startoftranscript|>"],
        )
    )
    model.generation_config.alignment_heads = [[1, 0], [1, 1]]
    model.generation_config.suppress_tokens = []
    model.generation_config.begin_suppress_tokens = []
    model.generation_config.lang_to_id = {name: ids[name] for name in languages}
    model.generation_config._from_model_config = False  # or loading would make it anew
    source = folder / "checkpoint"
    model.save_pretrained(source)
    transformers.WhisperTokenizerFast(tokenizer_object=tokenizer).save_pretrained(source)
    tokenizer.save(str(source / "tokenizer.json"))
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(source)
    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(source), copy_files=copied).convert(str(folder / "tiny"))
    return folder / "tiny"


def voice(seconds: float) -> FloatArray:
    """Vowels: a buzz of 120 Hz through the resonances of a mouth, two syllables a second.

    Silero takes it for speech.
    """
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 15 * np.sin(2 * np.pi * 3 * time)) / RATE
    buzz = np.sum([np.cos(k * phase) / k for k in range(1, 25)], axis=0)
    frequencies = np.fft.rfftfreq(len(buzz), 1 / RATE)
    formants = ((600, 80, 1.0), (1200, 100, 0.6), (2500, 150, 0.3))
    mouth = sum(gain / (1 + ((frequencies - c) / width) ** 2) for c, width, gain in formants)
    sound = np.fft.irfft(np.fft.rfft(buzz) * mouth, len(buzz))
    sound *= np.sin(2 * np.pi * 2 * time) > -0.3
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.fixture(scope="module")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        # Making the checkpoint is not what is tested; torch and transformers may deprecate.
        warnings.simplefilter("ignore")
        return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def transcriber(tiny_whisper: Path) -> FasterWhisperTranscriber:
    return FasterWhisperTranscriber(SpeechOptions(asr_model=str(tiny_whisper)), "cpu", threads=1)


@pytest.mark.parametrize("kind", ["silence", "hum", "hiss", "nothing"])
def test_sound_without_speech_has_no_cues(transcriber: FasterWhisperTranscriber, kind: str) -> None:
    time = np.arange(20 * RATE) / RATE
    sounds = {
        "silence": np.zeros(20 * RATE),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * time),
        "hiss": np.random.default_rng(0).normal(0, 0.05, 20 * RATE),
        "nothing": np.zeros(0),
    }
    assert transcriber.transcribe(AudioWindow(0.0, sounds[kind].astype(np.float32))) == ()


def test_cues_are_in_video_time_and_within_the_window(
    transcriber: FasterWhisperTranscriber,
) -> None:
    silence = np.zeros(5 * RATE, np.float32)
    cues = transcriber.transcribe(AudioWindow(300.0, np.concatenate([silence, voice(6)])))
    assert cues, "random weights do say something about a voice"
    assert all(304.0 <= cue.start_seconds <= cue.stop_seconds <= 311.0 for cue in cues)
    words = [word for cue in cues for word in cue.words]
    assert words == sorted(words, key=lambda word: word.start_seconds)


def test_a_window_is_heard_the_same_whatever_came_before(
    transcriber: FasterWhisperTranscriber,
) -> None:
    window = AudioWindow(30.0, voice(4))
    alone = transcriber.transcribe(window)
    transcriber.transcribe(AudioWindow(0.0, voice(3)[::-1].copy()))
    assert transcriber.transcribe(window) == alone


def test_the_language_asked_for_is_used(tiny_whisper: Path) -> None:
    options = SpeechOptions(asr_model=str(tiny_whisper), language="de-AT")
    german = FasterWhisperTranscriber(options, "cpu", threads=1)
    asked: list[object] = []
    listen = german._model.transcribe

    def spy(*arguments: object, **options: object) -> object:
        asked.append((options["language"], options["multilingual"]))
        return listen(*arguments, **options)

    german._model.transcribe = spy
    german.transcribe(AudioWindow(0.0, voice(2)))
    assert asked == [("de", False)]
    with pytest.raises(UsageError, match=r"'xx'.*allowed: .*de, "):
        FasterWhisperTranscriber(options.model_copy(update={"language": "xx"}), "cpu", threads=1)


def test_without_a_language_each_half_minute_is_detected(
    transcriber: FasterWhisperTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    detected: list[object] = []
    engine = transcriber._model.model

    class Listening:
        is_multilingual = True

        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        def detect_language(self, output: object) -> object:
            detected.append(output)
            return engine.detect_language(output)

    monkeypatch.setattr(transcriber._model, "model", Listening())
    transcriber.transcribe(AudioWindow(0.0, voice(8)))
    assert engine.is_multilingual
    assert len(detected) >= 2, "once for the whole, and once for its only half minute"


def test_the_name_is_short(transcriber: FasterWhisperTranscriber) -> None:
    assert transcriber.name == "faster-whisper tiny"
    assert asr_name("small") == "faster-whisper small"
    assert asr_name("Systran/faster-whisper-small") == "faster-whisper Systran/faster-whisper-small"


@pytest.mark.parametrize("missing", ["model.bin", "config.json", "tokenizer.json"])
def test_an_incomplete_folder_is_a_missing_model(
    tiny_whisper: Path, tmp_path: Path, missing: str
) -> None:
    folder = shutil.copytree(tiny_whisper, tmp_path / "model")
    assert model_is_here(str(folder))
    (folder / missing).unlink()
    assert not model_is_here(str(folder))
    with pytest.raises(ModelMissingError, match="--asr-model PATH"):
        FasterWhisperTranscriber(SpeechOptions(asr_model=str(folder)))


def test_a_damaged_model_is_an_error(tiny_whisper: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_whisper, tmp_path / "model")
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1000])
    with pytest.raises(ExtractionError, match=r"cannot be loaded.*--asr-model PATH"):
        FasterWhisperTranscriber(SpeechOptions(asr_model=str(folder)), "cpu")


@pytest.mark.parametrize("name", ["small", "Systran/faster-whisper-small"])
def test_a_model_is_found_in_the_hub_cache(
    tiny_whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    assert not model_is_here(name)
    repository = tmp_path / "models--Systran--faster-whisper-small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tiny_whisper, repository / "snapshots" / ("0" * 40))
    assert model_is_here(name)
    FasterWhisperTranscriber(SpeechOptions(asr_model=name), "cpu", threads=1)


def test_a_missing_model_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelMissingError, match="'hf download Systran/faster-whisper-tiny'"):
        FasterWhisperTranscriber(SpeechOptions(asr_model="tiny"))
    assert "someone/a-model" in how_to_fetch("someone/a-model")
    assert "hf download" not in how_to_fetch("/nowhere/model")


def test_a_name_that_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'smal'; allowed: .*small"):
        model_is_here("smal")


@pytest.mark.parametrize("path", ["/nowhere/model", "./model", "~/model", "a/b/c"])
def test_a_path_that_is_not_there_is_a_missing_model(path: str) -> None:
    assert not model_is_here(path)
