"""Where weights are found, at which commit, and how they get there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clamr_rag.config import EncoderOptions
from clamr_rag.encoder.hub import PRESETS, list_models, locate, pull
from clamr_rag.encoder.hub_cache import HubId, hub_id
from clamr_rag.encoder.integrity import verify
from clamr_rag.errors import ModelMissingError, UsageError
from tests.fake_hub import NEW_COMMIT, OLD_COMMIT, FakeHub, digest, serve_hub
from tests.qwen_checkpoints import load, mixed_clips, same, save_adapter, save_omni, save_vl


@pytest.fixture(scope="module")
def saved_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "vl"
    save_vl(folder)
    return folder


@pytest.fixture(scope="module")
def saved_omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "omni"
    save_omni(folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def vl_copy(saved_vl: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(saved_vl, tmp_path / "checkpoint"))


def put(cache: Path, asked: HubId, folder: Path) -> Path:
    """Stores a folder as the hub's client does: blobs by digest, snapshots of links to them."""
    root = cache / f"models--{asked.repo.replace('/', '--')}"
    commit = asked.revision or OLD_COMMIT
    snapshot = root / "snapshots" / commit
    for sub in (snapshot, root / "blobs", root / "refs"):
        sub.mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    for path in folder.iterdir():
        blob = root / "blobs" / digest(path)
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(blob)
    return snapshot


@pytest.mark.parametrize("name", ["clamr", "clamr-omni", "someone/model", "someone/model@1a2b3c4"])
def test_weights_that_are_not_here_name_the_command(cache: Path, name: str) -> None:
    with pytest.raises(ModelMissingError, match=f"clamr-rag models pull {name}") as caught:
        load(name)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("name", ["a--b/c", "a/b..c", "owner/name.git", "a/" + "b" * 120])
def test_a_name_that_no_hub_takes_is_one_clear_line(cache: Path, name: str) -> None:
    with pytest.raises(ModelMissingError, match=f"no model folder {name}; allowed: clamr"):
        load(name)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("owner/name", HubId("owner/name")),
        ("owner/name@1a2b3c4", HubId("owner/name", "1a2b3c4")),
        ("owner/name@v0.2", HubId("owner/name", "v0.2")),
        ("owner/name@../x", None),
        ("owner/name@", None),
        ("name", None),
    ],
)
def test_hub_ids(name: str, read: HubId | None) -> None:
    assert hub_id(name) == read
    assert read is None or str(read) == name


def test_no_folder_and_no_hub_id(cache: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"no model folder \./nowhere"):
        load("./nowhere")


def test_a_preset_is_base_and_adapter(cache: Path, saved_vl: Path, tmp_path: Path) -> None:
    preset = PRESETS["clamr"]
    save_adapter(tmp_path / "adapter", base=preset.base.repo)
    put(cache, preset.base, saved_vl)
    with pytest.raises(ModelMissingError, match=preset.adapter.repo):
        load("clamr")
    put(cache, preset.adapter, tmp_path / "adapter")
    encoder = load("clamr")
    assert encoder.name == "clamr"
    assert same(encoder, load(saved_vl, adapter=str(tmp_path / "adapter")))
    assert same(load(preset.adapter.repo), encoder)


def test_the_omni_preset_takes_the_released_message(
    cache: Path, saved_omni: Path, tmp_path: Path
) -> None:
    preset = PRESETS["clamr-omni"]
    save_adapter(tmp_path / "adapter", base=preset.base.repo)
    put(cache, preset.base, saved_omni)
    put(cache, preset.adapter, tmp_path / "adapter")
    assert locate("clamr-omni").released_message
    texts = [
        "".join(
            encoder.processor.token_texts(encoder.processor.clip(mixed_clips(3, sound=True)[1]))
        )
        for encoder in (
            load("clamr-omni"),
            load("clamr-omni", options=EncoderOptions(released_omni_message=False)),
        )
    ]
    assert "<|im_start|>\n" in texts[0]
    assert "<|im_start|>user\n" in texts[1]


def test_the_list_says_what_is_here(cache: Path, saved_vl: Path) -> None:
    snapshot = put(cache, PRESETS["clamr"].base, saved_vl)
    base, adapter, other_base, _ = list_models()
    assert (base.folder, base.commit) == (snapshot, PRESETS["clamr"].base.revision)
    assert (adapter.folder, adapter.commit) == (None, None)
    assert (other_base.folder, other_base.commit) == (None, PRESETS["clamr-omni"].base.revision)


def test_a_flipped_byte_is_found(cache: Path, saved_vl: Path) -> None:
    snapshot = put(cache, HubId("someone/model"), saved_vl)
    assert all(check.intact for check in verify("someone/model"))
    blob = (snapshot / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    broken = [check.path.name for check in verify("someone/model") if not check.intact]
    assert broken == ["model.safetensors"]


def test_a_plain_folder_has_no_digests_to_compare(saved_vl: Path) -> None:
    assert {check.intact for check in verify(str(saved_vl))} == {None}


@pytest.mark.parametrize(
    ("name", "error"), [("clamr", ModelMissingError), ("not a name", UsageError)]
)
def test_a_pull_that_cannot_be_done_says_why(
    cache: Path, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="Qwen/Qwen2" if name == "clamr" else "owner/name"):
        pull(name)


def test_verify_misses_no_missing_shard(vl_copy: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (vl_copy / "model.safetensors.index.json").write_text(json.dumps(index))
    damaged = [check.path.name for check in verify(str(vl_copy)) if check.intact is False]
    assert damaged == ["model-00001-of-00001.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_verify_misses_no_file_that_loading_needs(vl_copy: Path, name: str) -> None:
    (vl_copy / name).unlink()
    damaged = [check.path.name for check in verify(str(vl_copy)) if check.intact is False]
    assert damaged == [name]


def test_verify_takes_the_tokenizer_of_the_adapter(vl_copy: Path, tmp_path: Path) -> None:
    """As loading does where the base has none."""
    save_adapter(tmp_path / "adapter", base="checkpoint")
    shutil.move(vl_copy / "tokenizer.json", tmp_path / "adapter" / "tokenizer.json")
    checks = verify(str(vl_copy), str(tmp_path / "adapter"))
    assert not [check.path.name for check in checks if check.intact is False]


def test_verify_names_a_damaged_index(vl_copy: Path) -> None:
    (vl_copy / "model.safetensors.index.json").write_text("{")
    with pytest.raises(UsageError, match=r"index\.json is not JSON"):
        verify(str(vl_copy))


# --- commits


def test_a_preset_takes_its_own_commit_only(cache: Path, saved_vl: Path, tmp_path: Path) -> None:
    preset = PRESETS["clamr"]
    save_adapter(tmp_path / "adapter", base=preset.base.repo)
    put(cache, HubId(preset.base.repo, OLD_COMMIT), saved_vl)
    put(cache, preset.adapter, tmp_path / "adapter")
    for name in ("clamr", preset.base.repo, preset.adapter.repo):
        with pytest.raises(ModelMissingError, match="not on this machine"):
            load(name)
    assert locate(f"{preset.base.repo}@{OLD_COMMIT}").base == f"{preset.base.repo}@{OLD_COMMIT}"


def test_an_adapter_may_pin_its_base(cache: Path, saved_vl: Path, tmp_path: Path) -> None:
    base = HubId("someone/base", NEW_COMMIT)
    put(cache, base, saved_vl)
    put(cache, HubId("someone/base", OLD_COMMIT), saved_vl)
    save_adapter(tmp_path / "adapter", base=base.repo, revision=NEW_COMMIT)
    assert locate(str(tmp_path / "adapter")).base == str(base)
    save_adapter(tmp_path / "adapter", base=base.repo, revision=None)
    assert locate(str(tmp_path / "adapter")).base == f"{base.repo}@{OLD_COMMIT}"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on this machine that the client takes for the real one."""
    import huggingface_hub.constants as constants

    with serve_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            served.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield served


def test_a_preset_is_fetched_at_its_commit(hub: FakeHub, vl_copy: Path, tmp_path: Path) -> None:
    preset = PRESETS["clamr"]
    save_adapter(tmp_path / "adapter", base=preset.base.repo)
    assert preset.base.revision is not None
    (vl_copy / "README.md").write_text("not fetched")
    hub.publish(preset.base.repo, vl_copy, preset.base.revision)
    # What is newer on the hub does not matter.
    hub.publish(preset.base.repo, tmp_path, NEW_COMMIT)
    hub.publish(preset.adapter.repo, tmp_path / "adapter", OLD_COMMIT)
    base, adapter = pull("clamr")
    assert str(base) == str(preset.base)
    assert str(adapter) == f"{preset.adapter.repo}@{OLD_COMMIT}"
    assert not (base.folder / "README.md").exists()
    assert same(load("clamr"), load(vl_copy, adapter=str(tmp_path / "adapter")))
    assert all(check.intact for check in verify("clamr"))
    assert [status.commit for status in list_models()[:2]] == [preset.base.revision, OLD_COMMIT]


def test_the_first_pull_settles_the_commit(hub: FakeHub, cache: Path, saved_vl: Path,
                                           tmp_path: Path) -> None:  # fmt: skip
    save_vl(tmp_path / "newer", seed=1)
    hub.publish("someone/model", saved_vl, OLD_COMMIT)
    [first] = pull("someone/model")
    hub.publish("someone/model", tmp_path / "newer", NEW_COMMIT)
    assert pull("someone/model") == [first]
    # Another program fetches the same repository and moves the cache's own ``main``.
    (first.folder.parents[1] / "refs" / "main").write_text(NEW_COMMIT)
    assert locate("someone/model").folder == first.folder
    [newer] = pull("someone/model@main")
    assert newer.commit == NEW_COMMIT
    assert same(load("someone/model"), load(tmp_path / "newer"))
    assert same(load(f"someone/model@{OLD_COMMIT}"), load(saved_vl))


def test_an_adapter_is_fetched_with_its_base(hub: FakeHub, saved_vl: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base="someone/base")
    hub.publish("someone/base", saved_vl)
    hub.publish("someone/adapter", tmp_path / "adapter")
    assert [snapshot.repo for snapshot in pull("someone/adapter")] == [
        "someone/adapter",
        "someone/base",
    ]
    assert same(load("someone/adapter"), load(saved_vl, adapter=str(tmp_path / "adapter")))


def test_a_fetch_that_broke_off_is_not_taken_for_whole(
    hub: FakeHub, saved_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("someone/model", saved_vl)
    [snapshot] = pull("someone/model")
    (snapshot.folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissingError, match="clamr-rag models pull someone/model"):
        load("someone/model")


def test_what_the_hub_does_not_have_is_said(hub: FakeHub) -> None:
    with pytest.raises(ModelMissingError, match="could not fetch someone/nothing"):
        pull("someone/nothing")


def test_a_written_commit_that_is_none_is_named(hub: FakeHub, saved_vl: Path) -> None:
    hub.publish("someone/model", saved_vl)
    [snapshot] = pull("someone/model")
    path = snapshot.folder.parents[1] / "refs" / "clamr-rag"
    path.write_text("../../elsewhere")
    with pytest.raises(UsageError, match=r"refs/clamr-rag holds '\.\./\.\./elsewhere'"):
        load("someone/model")
