"""Options: frozen, strict, each with a description, fingerprinted by value."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from clamr_rag.config import Options, SpeechOptions, StageOptions

STAGES = [field.annotation for field in Options.model_fields.values()]


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_says_what_it_does(stage: type[StageOptions]) -> None:
    assert stage.model_fields
    for name, field in stage.model_fields.items():
        assert field.description, f"{stage.__name__}.{name}"
        assert field.description.endswith("."), f"{stage.__name__}.{name}"


def test_options_are_frozen_and_strict() -> None:
    options = Options()
    with pytest.raises(ValidationError, match="frozen"):
        options.search.top_k = 9  # type: ignore[misc]
    with pytest.raises(ValidationError, match="topk"):
        Options.model_validate({"search": {"topk": 9}})
    with pytest.raises(ValidationError, match="greater than 0"):
        Options.model_validate({"search": {"top_k": 0}})


def test_fingerprints_follow_values() -> None:
    assert SpeechOptions().fingerprint() == SpeechOptions().fingerprint()
    assert SpeechOptions(asr_model="tiny").fingerprint() != SpeechOptions().fingerprint()
