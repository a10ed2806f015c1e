"""What we write ourselves loads to the same vectors, and holds its projection."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.hub import locate
from clamr_rag.encoder.layouts import RELEASED_MESSAGE_KEY
from clamr_rag.encoder.saving import save_adapter as write_adapter
from clamr_rag.encoder.saving import save_merged
from clamr_rag.errors import DiskFullError, UsageError
from tests.qwen_checkpoints import load, rewrite, same, save_adapter, save_omni, save_vl

HEAD = {"custom_text_proj.weight", "custom_text_proj.bias"}
SEEDED = EncoderOptions(seeded_projection=True)


@pytest.fixture(params=["vl", "omni"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tiny checkpoint with its projection."""
    (save_vl if request.param == "vl" else save_omni)(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    save_adapter(tmp_path / "adapter", target_modules=["q_proj", "custom_text_proj"])
    return tmp_path / "adapter"


def test_a_merged_checkpoint_is_base_and_adapter(base: Path, adapter: Path, tmp_path: Path) -> None:
    save_merged(str(base), tmp_path / "merged", adapter=str(adapter))
    expected = load(base, adapter=str(adapter))
    assert same(load(tmp_path / "merged"), expected, atol=1e-6)
    assert not same(load(base), expected, atol=1e-3)
    assert load_file(tmp_path / "merged" / "model.safetensors").keys() >= HEAD


def test_a_written_adapter_brings_its_projection(base: Path, adapter: Path, tmp_path: Path) -> None:
    expected = load(base, adapter=str(adapter))
    write_adapter(str(base), tmp_path / "written", adapter=str(adapter))
    rewrite(base, lambda weights: {n: w for n, w in weights.items() if n not in HEAD})
    assert same(load(base, adapter=str(tmp_path / "written")), expected, atol=1e-6)
    # It names its base, so that it stands alone.
    assert same(load(tmp_path / "written"), expected, atol=1e-6)
    config = json.loads((tmp_path / "written" / "adapter_config.json").read_text())
    assert config["modules_to_save"] == ["custom_text_proj"]
    assert config["target_modules"] == ["q_proj"]


def test_a_drawn_projection_is_saved_for_good(tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint", projection=False)
    save_adapter(tmp_path / "adapter")
    drawn = load(tmp_path / "adapter", options=SEEDED)
    save_merged(str(tmp_path / "adapter"), tmp_path / "merged", options=SEEDED)
    write_adapter(str(tmp_path / "adapter"), tmp_path / "written", options=SEEDED)
    for folder in ("merged", "written"):
        assert same(load(tmp_path / folder), drawn, atol=1e-6)
        without = load(tmp_path / folder).fingerprint
        assert load(tmp_path / folder, options=SEEDED).fingerprint == without


def test_a_merged_checkpoint_is_read_by_transformers(tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    save_vl(tmp_path / "checkpoint")
    save_adapter(tmp_path / "adapter")
    save_merged(str(tmp_path / "adapter"), tmp_path / "merged")
    _, found = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path / "merged", output_loading_info=True
    )
    assert not found["missing_keys"]
    assert set(found["unexpected_keys"]) == HEAD


def test_a_written_adapter_is_read_by_peft(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="part of the extra `train`")
    save_vl(tmp_path / "checkpoint")
    save_adapter(tmp_path / "adapter")
    write_adapter(str(tmp_path / "adapter"), tmp_path / "written")
    config = peft.PeftConfig.from_pretrained(str(tmp_path / "written"))
    assert config.base_model_name_or_path == str(tmp_path / "checkpoint")
    assert config.modules_to_save == ["custom_text_proj"]


def test_the_released_message_outlives_the_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the hub id says how the released Omni weights were trained; ours must say it itself."""
    save_omni(tmp_path / "checkpoint")
    save_adapter(tmp_path / "adapter", **{RELEASED_MESSAGE_KEY: True})
    released = load(tmp_path / "adapter")
    assert not same(
        released,
        load(tmp_path / "adapter", options=EncoderOptions(released_omni_message=False)),
        atol=1e-3,
    )
    save_merged(str(tmp_path / "adapter"), tmp_path / "merged")
    write_adapter(str(tmp_path / "adapter"), tmp_path / "written")
    for folder in ("merged", "written"):
        assert locate(str(tmp_path / folder)).released_message
        assert same(load(tmp_path / folder), released)


def test_the_part_that_encodes_is_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_omni(folder)
    config = json.loads((folder / "config.json").read_text())
    whole = {"model_type": "qwen2_5_omni", "thinker_config": config, "talker_config": {}}
    (folder / "config.json").write_text(json.dumps(whole))
    save_merged(str(folder), tmp_path / "merged")
    written = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert written["model_type"] == "qwen2_5_omni_thinker"
    assert same(load(tmp_path / "merged"), load(folder))


def test_half_the_bytes_in_bfloat16(tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint")
    for dtype in ("float32", "bfloat16"):
        save_merged(str(tmp_path / "checkpoint"), tmp_path / dtype, dtype=dtype)
    sizes = [(tmp_path / d / "model.safetensors").stat().st_size for d in ("float32", "bfloat16")]
    assert sizes[1] < 0.6 * sizes[0]
    assert same(load(tmp_path / "bfloat16"), load(tmp_path / "checkpoint"), atol=0.03)


@pytest.mark.parametrize("write", [save_merged, write_adapter])
def test_nothing_is_written_over(tmp_path: Path, write: Any) -> None:
    save_vl(tmp_path / "checkpoint")
    save_adapter(tmp_path / "adapter")
    before = {p: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()}
    with pytest.raises(UsageError, match="is there already; allowed: a new or empty folder"):
        write(str(tmp_path / "adapter"), tmp_path / "checkpoint")
    assert {p: p.read_bytes() for p in (tmp_path / "checkpoint").iterdir()} == before


def test_a_model_without_adapter_has_none_to_write(tmp_path: Path) -> None:
    save_vl(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match="has no adapter"):
        write_adapter(str(tmp_path / "checkpoint"), tmp_path / "written")


def test_a_full_disk_is_noticed_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_vl(tmp_path / "checkpoint")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(DiskFullError, match=r"model\.safetensors would take 0\.[0-9] GB"):
        save_merged(str(tmp_path / "checkpoint"), tmp_path / "merged")
    assert not any((tmp_path / "merged").iterdir())
