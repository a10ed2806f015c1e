"""Training `mini`: its words, its labels, its stages, and the file that comes out."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clamr_rag import EncoderOptions
from clamr_rag.encoder.mini import load_mini
from clamr_rag.encoder.mini_network import LowRank, MiniNetwork, adapt, add_changes
from clamr_rag.encoder.mini_reading import MiniReader
from clamr_rag.encoder.mini_weights import how_made, load_network, save_network
from clamr_rag.encoder.minilm import load_minilm
from clamr_rag.encoder.stem import NUM_TOKENS
from clamr_rag.errors import ModelMissingError
from clamr_rag.types import ClipInput, Modality
from eval.mini.batches import asked_clips, docstrings, moving_pictures, still_frames
from eval.mini.heads import PatchHead, PictureHead
from eval.mini.labels import PATCH, SIZE, patch_labels, picture_labels
from eval.mini.train import (
    Plan,
    embed_clips,
    embed_queries,
    look,
    padded_modalities,
    train,
    untrained_network,
)
from eval.mini.wording import description, picture_query, read_words, renamed
from eval.synthetic.lexicon import read_lexicon
from eval.synthetic.pictures import draw_frame, draw_ground
from eval.synthetic.staging import STATED
from eval.synthetic.words import content_words
from eval.synthetic.world import WorldClip, make_world

TINY = Plan(
    look_steps=2, match_steps=2, join_steps=2, stills=4, pictures=8, clips=8, prose=3, rank=2
)


@pytest.fixture(scope="module")
def clips() -> tuple[WorldClip, ...]:
    return make_world(5, 0.5, "train").clips


@pytest.mark.parametrize("split", ["dev", "test"])
def test_no_held_out_word_is_taught(split: str) -> None:
    words = read_words()
    taught = content_words(
        " ".join(
            [
                *(word for kinds in words.kinds.values() for pair in kinds for word in pair),
                *(word for paints in words.colours.values() for word, _ in paints),
                *(word for values in words.motions.values() for word in values),
                *(word for values in words.relations.values() for word in values),
                *(word for values in words.sizes.values() for word in values),
            ]
        )
    )
    held_out = content_words(" ".join(read_lexicon(split).texts()))
    assert len(taught) > 200
    assert not taught & held_out


def test_renamed_clips_keep_their_details_and_differences(clips: tuple[WorldClip, ...]) -> None:
    groups: dict[int, list[WorldClip]] = {}
    for clip in clips:
        if clip.group is not None:
            groups.setdefault(clip.group, []).append(clip)
    named = 0
    for group in groups.values():
        again = [renamed(clip, 0.25) for clip in group]
        named += again[0].staging.kind.one != group[0].staging.kind.one
        for old, new in zip(group, again, strict=True):
            assert old.staging.details() == new.staging.details()
            assert old.staging.kind.form == new.staging.kind.form, "another name, the same drawing"
        same_kind = group[0].staging.kind == group[1].staging.kind
        assert (again[0].staging.kind == again[1].staging.kind) == same_kind
    assert named > len(groups) / 2


def test_a_picture_query_tells_every_detail(clips: tuple[WorldClip, ...]) -> None:
    rng = random.Random(3)
    queries = {picture_query(rng, clips[0], description(rng, clips[0])) for _ in range(30)}
    assert len(queries) > 20
    staging = clips[0].staging
    for query in queries:
        assert staging.colour.word in query
        assert staging.kind.many in query or staging.kind.one in query
        assert staging.companion_colour.word in query
        assert staging.companion.one in query


def test_patches_are_labelled_where_the_colour_is_drawn(clips: tuple[WorldClip, ...]) -> None:
    colours = list(read_lexicon("train").colours)
    found = []
    for clip in clips[:40]:
        still = replace(clip, staging=replace(clip.staging, motion="still", size="large"))
        labels = patch_labels(still, 1.0)
        picture = np.asarray(draw_frame(still, draw_ground(still, SIZE), 1.0)).astype(int)
        staging = still.staging
        for role, paint in ((1, staging.colour), (2, staging.companion_colour)):
            rows, columns = np.nonzero(labels[0] == role)
            assert (labels[2][rows, columns] == colours.index(paint.family) + 1).all()
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                top, left = max(row * PATCH - 1, 0), column * PATCH
                patch = picture[top : top + PATCH, left : left + PATCH]
                found.append(bool((abs(patch - paint.rgb).max(axis=-1) < 24).any()))
    # Corners of a thing's square may be empty.
    assert len(found) > 200
    assert np.mean(found) > 0.75


def test_labels_of_a_picture_are_its_details(clips: tuple[WorldClip, ...]) -> None:
    assert len(picture_labels(clips[0].staging)) == len(STATED)
    distinct = {tuple(picture_labels(clip.staging)) for clip in clips}
    assert len(distinct) == len({clip.staging.details() for clip in clips})


def test_batches_are_what_they_say() -> None:
    frames, patches, pictures = next(still_frames(random.Random(0), 3))
    assert frames.shape == (3, 1, 128, 224, 3)
    assert patches.shape == (3, 3, 8, 14)
    assert pictures.shape == (3, 8)
    frames, queries, pictures = next(moving_pictures(random.Random(0), 12))
    assert frames.shape == (12, 4, 128, 224, 3)
    assert len(set(queries)) == len(pictures) == 12
    first, second = next(asked_clips(random.Random(0), 12, 5))
    assert [one.clip for one in first] == [other.clip for other in second]
    assert len(first) == 17
    for one in (*first, *second):
        if one.gold != Modality.VIDEO:
            assert one.clip.text(one.gold), "what is asked about is there"
    assert all(one.gold == Modality.VIDEO for one in first[:12])
    assert all(len(one.clip.frames) in (0, 4) for one in first)


def test_docstrings_are_prose_with_a_summary() -> None:
    pairs = docstrings()
    assert len(pairs) > 300
    assert all(len(summary) > 30 and len(body) > 80 for summary, body in pairs)


def test_an_adapter_changes_nothing_before_it_is_trained_and_adds_what_it_learned() -> None:
    plain, adapted = load_minilm(), load_minilm()
    adapters = adapt(adapted, 3)
    ids = torch.arange(1000, 1012)[None]
    positions, mask = torch.arange(12)[None], torch.ones(1, 12, dtype=torch.bool)
    with torch.inference_mode():
        before = plain(ids, positions, mask)
        assert (adapted(ids, positions, mask) - before).abs().max() < 1e-5
    trained = [p for p in adapted.parameters() if p.requires_grad]
    assert len(trained) == 2 * len(adapters) == 2 * 6 * 4
    with torch.no_grad():
        for change in adapters.values():
            change.up.normal_(std=0.05)
    add_changes(plain, {name: (c.up, c.down) for name, c in adapters.items()})
    with torch.inference_mode():
        after = adapted(ids, positions, mask)
        assert (after - before).abs().max() > 0.1
        assert (plain(ids, positions, mask) - after).abs().max() < 1e-4


def test_low_rank_is_the_product_of_its_factors() -> None:
    change = LowRank(4, 6, 2)
    change.up.data = torch.ones(4, 2)
    assert torch.equal(change(torch.zeros(4, 6)), change.down.sum(dim=0).expand(4, 6))


def test_looking_is_learned() -> None:
    torch.manual_seed(1)
    network, head = untrained_network(), PictureHead()
    frames, patches, _ = next(still_frames(random.Random(0), 32))
    labels = torch.from_numpy(patches)

    def right() -> float:
        fresh = PatchHead()
        optimiser = torch.optim.Adam(fresh.parameters(), lr=0.02)
        with torch.no_grad():
            features = network.stem.features(torch.from_numpy(frames))
        for _ in range(60):
            optimiser.zero_grad()
            loss = fresh.loss(features, labels)
            torch.autograd.backward(loss)
            optimiser.step()
        return loss.item()

    before = right()
    look(network, head, replace(TINY, look_steps=150, stills=16))
    assert right() < 0.8 * before


def test_all_stages_run_and_what_they_write_is_mini(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "mini.safetensors"
    matched = tmp_path / "matched"
    train(TINY, file, matched=matched)
    made = how_made(file)
    assert made["data"].startswith("synthetic-")
    assert "'match_steps': 2" in made["plan"]
    mini = load_mini(EncoderOptions(), name="mini-vl", weights=file)
    assert mini.fingerprint != load_mini(EncoderOptions()).fingerprint
    picture = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    [rows] = mini.encode_clips([ClipInput((picture,), (1.5,), asr="a ferry leaves")])
    assert (rows.modalities == Modality.VIDEO).sum() == NUM_TOKENS
    again = tmp_path / "again.safetensors"
    train(TINY, again, start=matched)
    assert again.is_file()


def test_what_is_written_is_what_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = untrained_network()
    adapters = adapt(network.trunk, 2)
    with torch.no_grad():
        for change in adapters.values():
            change.up.normal_(std=0.02)
    save_network(tmp_path / "w.safetensors", network, {})
    loaded = load_network(tmp_path / "w.safetensors")
    queries = ["two red boats left of a house", "what did the speaker say?"]
    reader = MiniReader(EncoderOptions(), looks=True, all_words=True)
    with torch.inference_mode():
        ours, mask = embed_queries(network.eval(), reader, queries)
        theirs, _ = embed_queries(loaded, reader, queries)
    assert (ours * theirs).sum(dim=-1)[mask].min() > 0.999, "half precision"


def test_clips_embedded_together_are_as_one_by_one() -> None:
    network, reader = untrained_network(), MiniReader(EncoderOptions(), looks=True, all_words=True)
    clips = [ClipInput(asr="word " * (3 + 2 * n)) for n in range(20)]
    sequences = [reader.clip(clip) for clip in clips]
    with torch.inference_mode():
        rows = embed_clips(network.eval(), sequences)
        for number in (0, 7, 19):
            [alone] = embed_clips(network, [sequences[number]])
            same = (rows[number, : len(alone)] * alone).sum(dim=-1)
            assert same.min() > 0.99, "bfloat16"
    kinds = padded_modalities(sequences)
    assert kinds.shape == rows.shape[:2]
    assert (kinds[0] == Modality.ASR).sum() == 3, "padding is OTHER"


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_file_that_holds_no_weights_of_mini(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "other.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelMissingError, match=r"other\.safetensors"):
        load_network(file)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    network = MiniNetwork(load_minilm())
    network.stem.draw_weights()
    network.kinds = torch.nn.Parameter(torch.zeros(9, 384))
    save_network(tmp_path / "w.safetensors", network, {})
    with pytest.raises(ModelMissingError, match="does not hold the weights of mini"):
        load_network(tmp_path / "w.safetensors")
