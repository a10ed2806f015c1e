"""Training `mini`: its words, its labels, its stages, and the file that comes out."""

from __future__ import annotations

import hashlib
import random
import re
import string
import subprocess
import sys
import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import normalize

from clamr_rag import EncoderOptions
from clamr_rag.encoder.mini import load_mini
from clamr_rag.encoder.mini_network import LowRank, MiniNetwork, adapt, add_changes
from clamr_rag.encoder.mini_reading import MiniReader
from clamr_rag.encoder.mini_weights import how_made, load_adapted, load_network, save_network
from clamr_rag.encoder.minilm import load_minilm
from clamr_rag.encoder.stem import NUM_TOKENS, fitted
from clamr_rag.errors import ModelMissingError, UsageError
from clamr_rag.types import ClipInput, Modality
from eval.arms.pools import moved
from eval.mini import encoding
from eval.mini.batches import (
    asked_clips,
    docstrings,
    moving_pictures,
    pictures_and_moved_ones,
    still_frames,
)
from eval.mini.encoding import (
    embed_clips,
    embed_queries,
    half,
    knows_bfloat16,
    padded_modalities,
    untrained_network,
)
from eval.mini.heads import PatchHead, PictureHead
from eval.mini.labels import PATCH, SIZE, patch_labels, picture_labels
from eval.mini.naming import Names
from eval.mini.plan import Plan
from eval.mini.progress import Progress
from eval.mini.stages import distance_both_ways, look, read, settle, steady, telling_words
from eval.mini.steps import Steps
from eval.mini.telling import Part, Told, tell, tellings
from eval.mini.train import data_sha256, go_back, main, train
from eval.mini.wording import (
    description,
    picture_query,
    read_words,
    renamed,
    renamed_staging,
    wider_lexicon,
)
from eval.synthetic.lexicon import read_lexicon
from eval.synthetic.pictures import draw_frame, draw_ground
from eval.synthetic.sketches import training_forms
from eval.synthetic.staging import STATED, draw_staging
from eval.synthetic.words import content_words
from eval.synthetic.world import DATA_VERSION, WorldClip, make_world

TINY = Plan(
    read_steps=2, look_steps=2, match_steps=2, settle_steps=2, join_steps=2, steady_steps=2,
    tellings=16, stills=4, pictures=8, clips=8, prose=3, rank=2,
)  # fmt: skip


_HOLE = re.compile(r"\{\w+\}")


def _holes(pattern: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]


def _words(values: Iterable[object]) -> list[str]:
    """Words of a slot's values, which are a word, a word with its colour or with its plural."""
    found = []
    for value in values:
        parts = [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        found += [part for part in parts if isinstance(part, str)]
    return found


def _unchanging_plurals(*families: Iterable[object]) -> int:
    pairs = [value for family in families for value in family if isinstance(value, tuple)]
    return sum(one == many for one, many in pairs)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB, IEC 61966-2-1: ``(..., 3)`` of 0-255 to ``(..., 3)``."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = linear @ np.array(to_xyz).T / [0.9505, 1.0, 1.089]
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


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
                *(_HOLE.sub("", text) for texts in words.counts for text in texts),
                *(_HOLE.sub("", text) for text in words.staging + words.video_queries),
            ]
        )
    )
    held_out = content_words(" ".join(read_lexicon(split).texts()))
    assert len(taught) > 1000
    assert not taught & held_out


@pytest.mark.parametrize("split", ["dev", "test"])
def test_no_held_out_phrase_is_taught(split: str) -> None:
    words, lexicon = read_words(), read_lexicon(split)
    # Function words are shared between splits; phrases made of nothing else are not.
    for slot in ("relations", "motions", "sizes"):
        taught = {text for texts in getattr(words, slot).values() for text in texts}
        assert not taught & set(getattr(lexicon, slot).values()), slot
    assert not {text for texts in words.counts for text in texts} & set(lexicon.counts)
    assert not set(words.staging) & set(lexicon.staging)
    assert not set(words.video_queries) & set(lexicon.video_queries)


@pytest.mark.parametrize(
    ("slot", "least"),
    [("colours", 60), ("kinds", 15), ("motions", 25), ("relations", 15), ("sizes", 25)],
)
def test_a_word_has_one_meaning(slot: str, least: int) -> None:
    homes: dict[str, str] = {}
    lexicon = read_lexicon("train")
    for family, further in getattr(read_words(), slot).items():
        known = getattr(lexicon, slot)[family]
        words = [*_words(further), *_words([known] if isinstance(known, str) else known)]
        assert len(further) >= least, family
        assert len(words) - len(set(words)) == _unchanging_plurals(further, known), family
        for word in words:
            assert word == word.lower().strip()
            assert homes.setdefault(word, family) == family, word
    assert getattr(lexicon, slot).keys() == getattr(read_words(), slot).keys()


def test_a_colour_looks_like_its_family() -> None:
    shades = {
        family: _lab(np.array([rgb for _, rgb in paints]))
        for family, paints in read_words().colours.items()
    }
    means = np.stack([shade.mean(axis=0) for shade in shades.values()])
    right = []
    for number, shade in enumerate(shades.values()):
        distances = np.linalg.norm(shade[:, None] - means, axis=-1)
        right.append(distances.argmin(axis=1) == number)
        assert right[-1].mean() > 0.9, list(shades)[number]
    assert np.concatenate(right).mean() >= 0.95


def test_patterns_have_the_holes_that_are_filled() -> None:
    words = read_words()
    for number, texts in enumerate(words.counts):
        assert len(texts) >= 10
        for text in texts:
            assert _holes(text) == [["one", "many"][number > 0]], text
    for text in words.staging:
        assert sorted(_holes(text)) == ["companion", "motion", "relation", "things"], text
        assert text.split()[0].strip(",") in ("{things}", "{companion}", "both", "not"), "a noun"
    for text in words.video_queries:
        assert _holes(text) == ["staging"], text
    for texts in (*words.counts, words.staging, words.video_queries):
        assert len(set(texts)) == len(texts)


def test_renamed_clips_keep_their_details_and_differences(clips: tuple[WorldClip, ...]) -> None:
    groups: dict[int, list[WorldClip]] = {}
    for clip in clips:
        if clip.group is not None:
            groups.setdefault(clip.group, []).append(clip)
    named, forms, warped = 0, set(), set()
    for group in groups.values():
        again = [renamed(clip, 0.25) for clip in group]
        named += again[0].staging.kind.one != group[0].staging.kind.one
        for old, new in zip(group, again, strict=True):
            assert old.staging.details() == new.staging.details()
            assert new.staging.kind.form in training_forms(new.staging.kind.family)
            forms.add(new.staging.kind.form)
            warped.add(new.staging.kind.warp > 0)
            plain = renamed(old, 0.25, redraw=False).staging.kind
            assert (plain.form, plain.warp) == (old.staging.kind.form, 0)
        same_kind = group[0].staging.kind == group[1].staging.kind
        assert (again[0].staging.kind == again[1].staging.kind) == same_kind
    assert named > len(groups) / 2
    assert max(forms) > 4, "sketches, too"
    assert warped == {False, True}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_no_held_out_drawing_is_taught(split: str) -> None:
    lexicon = read_lexicon(split)
    for family, kinds in lexicon.kinds.items():
        held_out = {lexicon.form_of(family, number) for number in range(len(kinds))}
        assert len(training_forms(family)) >= 10
        assert not held_out & set(training_forms(family))


def test_the_words_of_a_query_tell_the_details() -> None:
    rng, lexicon = random.Random(4), read_lexicon("train")
    for _ in range(300):
        staging = renamed_staging(draw_staging(rng, lexicon), rng.random())
        told = tell(rng, wider_lexicon(rng), staging)
        read = {
            STATED[part.slot]: told.query[part.start : part.stop]
            for part in told.parts
            if STATED[part.slot] != "count"
        }
        assert len(read) == len(STATED) - 1
        assert read["colour"] == staging.colour.word
        assert read["kind"] in (staging.kind.one, staging.kind.many)
        assert read["companion_colour"] == staging.companion_colour.word
        assert read["companion"] == staging.companion.one
        in_order = sorted(told.parts, key=lambda part: part.start)
        assert all(one.stop <= next_one.start for one, next_one in pairwise(in_order))


@pytest.mark.parametrize(
    ("counts", "stated"),
    [("a trio of {many}", ["trio of"]), ("3 {many} in all", ["3", "in all"]), ("a {one}", [])],
)
def test_the_words_of_a_count_are_those_around_its_noun(counts: str, stated: list[str]) -> None:
    lexicon = read_lexicon("train").model_copy(update={"counts": (counts,)})
    staging = replace(draw_staging(random.Random(1), lexicon), count=1)
    told = tell(random.Random(0), lexicon, staging)
    assert [told.query[p.start : p.stop] for p in told.parts if p.slot == 0] == stated


def test_tokens_that_tell_are_those_of_their_words() -> None:
    reader = MiniReader(EncoderOptions(), looks=True, all_words=True)
    told = Told("see: two umbrellas!", (Part(0, 5, 8), Part(3, 9, 18)))
    clips, places, slots = telling_words(reader, [told, told])
    pieces = reader.query(told.query)
    assert [told.query[start:stop] for start, stop in pieces.spans] == [
        "see",
        "two",
        "umbrella",
        "s",
    ]
    assert clips.tolist() == [0, 0, 0, 1, 1, 1]
    assert places.tolist() == pieces.kept[1:] * 2
    assert slots.tolist() == [0, 3, 3, 0, 3, 3]


def test_names_tell_a_row_that_is_the_name_itself() -> None:
    torch.manual_seed(0)
    names = Names()
    labels = torch.tensor([2, 1, 4, 19, 0, 3, 7, 11])
    with torch.no_grad():
        rows = torch.stack(
            [
                normalize(normalize(names.values[values][label], dim=0) + role, dim=0)
                for label, role, values in zip(
                    labels, normalize(names.roles, dim=-1), (0, 1, 2, 3, 4, 5, 2, 3), strict=True
                )
            ]
        )
    loss, right = names.of_words(rows, torch.arange(8), labels)
    assert right == 1.0
    other, wrong = names.of_words(rows.flip(0), torch.arange(8), labels)
    assert wrong < 1.0
    assert loss < other
    told, distance, all_right = names.of_pictures(rows[None], labels[None])
    assert all_right == [1.0] * 8
    assert distance.item() == pytest.approx(0.0, abs=1e-6)
    blank, far, _ = names.of_pictures(rows[None, :1], labels[None])
    assert told < blank
    cosines = rows @ rows[0]
    assert far.item() == pytest.approx(1 - float(cosines.mean()), abs=1e-6)


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


@pytest.mark.parametrize("shift", [(0, 0), (8, -5), (-16, 3)])
def test_patches_are_labelled_where_the_colour_is_drawn(
    clips: tuple[WorldClip, ...], shift: tuple[int, int]
) -> None:
    colours = list(read_lexicon("train").colours)
    found = []
    for clip in clips[:40]:
        still = replace(clip, staging=replace(clip.staging, motion="still", size="large"))
        labels = patch_labels(still, 1.0, shift)
        drawn = np.asarray(draw_frame(still, draw_ground(still, SIZE), 1.0))
        picture = moved(fitted([drawn])[0], shift).astype(int)
        staging = still.staging
        for role, paint in ((1, staging.colour), (2, staging.companion_colour)):
            rows, columns = np.nonzero(labels[0] == role)
            assert (labels[2][rows, columns] == colours.index(paint.family) + 1).all()
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                top, left = row * PATCH, column * PATCH
                patch = picture[top : top + PATCH, left : left + PATCH]
                found.append(bool((abs(patch - paint.rgb).max(axis=-1) < 24).any()))
    # Corners of a thing's square may be empty.
    assert len(found) > 200
    assert np.mean(found) > 0.75


def test_labels_of_a_picture_are_its_details(clips: tuple[WorldClip, ...]) -> None:
    assert len(picture_labels(clips[0].staging)) == len(STATED)
    distinct = {tuple(picture_labels(clip.staging)) for clip in clips}
    assert len(distinct) == len({clip.staging.details() for clip in clips})


def test_pictures_are_moved_as_far_as_they_may() -> None:
    plain, _, same = next(moving_pictures(random.Random(1), 8))
    further, _, _ = next(moving_pictures(random.Random(1), 8, 6))
    assert plain.shape == further.shape == (len(same), 4, 128, 224, 3)
    black = [(~clip.any(axis=(0, -1))).all(axis=0) for clip in further]
    edges = [int(columns[:112].sum()) - int(columns[112:].sum()) for columns in black]
    assert max(map(abs, edges)) <= 6
    assert len(set(edges)) > 3, "each clip by itself"
    first, _ = next(asked_clips(random.Random(1), 8, 0, 6))
    again, _ = next(asked_clips(random.Random(1), 8, 0, 0))
    assert any(
        not np.array_equal(one.clip.frames[0], other.clip.frames[0])
        for one, other in zip(first, again, strict=True)
    )


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


def test_a_share_of_what_changed_is_kept() -> None:
    network = untrained_network()
    adapters = adapt(network.trunk, 2)
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    with torch.no_grad():
        for change in adapters.values():
            change.up.normal_()
        network.stem.out.bias += 1.0
    after = {name: weights.clone() for name, weights in network.state_dict().items()}
    go_back(network, before, 0.25)
    changed = 0
    for name, weights in network.state_dict().items():
        moved = after[name] - before[name]
        assert (weights - before[name] - moved / 4).abs().max() < 1e-6
        changed += bool(moved.any())
    assert changed == len(adapters) + 1


def test_low_rank_adds_the_product_of_its_factors_and_leaves_the_linear_map_alone() -> None:
    change = LowRank(nn.Linear(6, 4).requires_grad_(False), 2)
    torch.nn.init.normal_(change.up)
    rows = torch.randn(5, 6)
    told = rows @ (change.linear.weight + change.up @ change.down).T + change.linear.bias
    torch.testing.assert_close(change(rows), told, rtol=0, atol=1e-5)
    torch.autograd.backward(change(rows).sum())
    assert change.linear.weight.grad is None
    assert change.up.grad is not None
    assert change.down.grad is not None


def test_reading_is_learned_and_prose_stays_what_it_was() -> None:
    torch.manual_seed(2)
    network, names = untrained_network(), Names()
    adapt(network.trunk, 4)
    reader = MiniReader(EncoderOptions(), looks=True, all_words=True)
    told, labels = next(tellings(random.Random(99), 40))
    prose = ["The committee met in spring and voted against the new bridge."]
    with torch.no_grad():
        plain, kept = embed_queries(network, reader, prose)

    def right() -> float:
        clips, places, slots = telling_words(reader, told)
        with torch.no_grad():
            words, _ = embed_queries(network, reader, [one.query for one in told])
            meant = torch.from_numpy(labels)[clips, slots]
            return names.of_words(words[clips, places], slots, meant)[1]

    before = right()
    plan = replace(TINY, read_steps=30, tellings=24, read_rate=2e-3)
    read(network, names, plan, Progress({"network": network, "names": names}, plan))
    assert right() > before + 0.2
    with torch.no_grad():
        again, _ = embed_queries(network, reader, prose)
    assert (plain * again).sum(dim=-1)[kept].mean() > 0.7


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
    plan, patches_head = replace(TINY, look_steps=150, stills=16), PatchHead()
    look(network, patches_head, head, plan, Progress({"network": network}, plan))
    assert right() < 0.8 * before


def test_what_is_left_of_a_stage_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weight = nn.Linear(1, 1)
    steps = Steps(Progress({"weight": weight}, TINY), "look", 40, 0.1, (weight,))
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began)
    with caplog.at_level("INFO", "eval.mini.steps"):
        for number, _ in enumerate(steps.over(lambda _: iter(range(99))), 1):
            monkeypatch.setattr(time, "monotonic", lambda now=began + 20 * number: now)
            steps.take(weight(torch.ones(1)).square().sum(), [number % 2])
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition("  loss")[0] for line in said[:2]] == [
        "look 2/40  40 s, 760 left", "look 4/40  80 s, 720 left",
    ]  # fmt: skip
    assert said[-1].startswith("look 40/40  800 s, 0 left")
    assert all(line.endswith("right 0.50") for line in said)
    assert len(said) == 20


def test_settling_draws_the_tokens_onto_the_names() -> None:
    torch.manual_seed(0)
    network, names = untrained_network(), Names()
    adapt(network.trunk, 2)
    frames, _, labels = next(moving_pictures(random.Random(9), 8))

    @torch.no_grad()
    def distance() -> float:
        seen = network.unit(network.stem(torch.from_numpy(frames)))
        return float(names.of_pictures(seen, torch.from_numpy(labels))[1])

    before = distance()
    plan = replace(TINY, settle_steps=6, settle_weight=50.0)
    settle(network, names, plan, Progress({"network": network}, plan))
    assert distance() < before - 0.1


def test_moved_pictures_become_what_they_were_unmoved() -> None:
    network = load_adapted()
    plan = replace(TINY, steady_steps=16, pictures=8, steady_rate=3e-4, steady_weight=50.0)
    frames, further, _ = next(pictures_and_moved_ones(random.Random(5), 12, 8))
    before = deepcopy(network)

    @torch.no_grad()
    def distance() -> float:
        known = before.unit(before.stem(torch.from_numpy(frames)))
        return float(
            distance_both_ways(network.unit(network.stem(torch.from_numpy(further))), known)
        )

    first = distance()
    steady(network, plan, Progress({"network": network}, plan))
    assert distance() < 0.9 * first
    kept = before.state_dict()
    changed = [name for name, own in network.state_dict().items() if not own.equal(kept[name])]
    assert changed
    assert all(name.startswith("stem.") for name in changed)


def test_distance_of_tokens_counts_what_is_missing_and_what_is_too_much() -> None:
    east, north, west = (torch.tensor(row) for row in ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]))
    both, one = torch.stack([east, north])[None], east[None, None]
    assert distance_both_ways(both, both) == 0
    assert distance_both_ways(both, one) == distance_both_ways(one, both) == 0.5
    assert distance_both_ways(west[None, None], one) == 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the tiny plan, trained in one go."""
    path = tmp_path_factory.mktemp("whole") / "mini.safetensors"
    train(TINY, path)
    return path


def test_all_stages_run_and_what_they_write_is_mini(whole: Path, tmp_path: Path) -> None:
    file = whole
    made = how_made(file)
    assert made["data"] == f"{DATA_VERSION}, {data_sha256()[:12]}"
    assert re.fullmatch(r".+, \d+ threads, (bfloat16|float32)", made["machine"])
    assert "'match_steps': 2" in made["plan"]
    mini = load_mini(EncoderOptions(), name="mini-vl", weights=file)
    assert mini.fingerprint != load_mini(EncoderOptions()).fingerprint
    picture = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    [rows] = mini.encode_clips([ClipInput((picture,), (1.5,), asr="a ferry leaves")])
    assert (rows.modalities == Modality.VIDEO).sum() == NUM_TOKENS
    again = tmp_path / "again.safetensors"
    train(replace(TINY, encoding="apart", scorer="token_max"), again, start=file)
    made = how_made(again)
    assert made["start"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "'encoding': 'apart'" in made["plan"]
    other = load_mini(EncoderOptions(), name="mini-vl", weights=again)
    assert other.fingerprint != mini.fingerprint


class _Stopped(Exception):
    """A run that is broken off."""


@pytest.mark.parametrize("stage", ["match", "join", "steady"])
def test_a_run_that_is_broken_off_goes_on_as_if_it_was_not(
    stage: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Steps.take
    taken: list[str] = []
    stops = True

    def watched(self: Steps, loss: torch.Tensor, right: list[float]) -> None:
        if stops and taken.count(stage) == 1:
            raise _Stopped
        taken.append(self.name)
        take(self, loss, right)

    monkeypatch.setattr(Steps, "take", watched)
    out = tmp_path / "parts.safetensors"
    with pytest.raises(_Stopped):
        train(TINY, out, folder=tmp_path / "run")
    stops = False
    train(TINY, out, folder=tmp_path / "run")
    stages = ("read", "look", "match", "settle", "join", "steady")
    assert taken == [name for name in stages for _ in range(2)]
    at_once, parts = load_file(whole), load_file(out)
    assert at_once.keys() == parts.keys()
    assert all((at_once[name] - parts[name]).abs().max() < 1e-3 for name in at_once)


def test_runs_that_differ_in_the_last_stage_share_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(TINY).items()] + [
        "--folder",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "w.safetensors"),
    ]
    main(words)
    first = float(how_made(tmp_path / "w.safetensors")["minutes"])
    states = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/*.safetensors")}
    assert len(states) == 6
    main([*words, "--scorer=token_max"])
    assert float(how_made(tmp_path / "w.safetensors")["minutes"]) >= first
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/*.safetensors")}
    assert len(after) == 8
    assert after.items() >= states.items()
    with pytest.raises(UsageError, match=r"data 'synthetic.*, now 'other'"):
        Progress({}, TINY, tmp_path / "run", "other")
    for other in ("--look-steps=3", "--join-rate=0.5"):
        with pytest.raises(SystemExit) as stopped:
            main([*words, other])
        assert stopped.value.code == 2
        assert other[2:].partition("=")[0].replace("-", "_") in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--scorer", "best"], ["--encoding", "both"], ["--loss", "none"], ["--seed", "x"]]
)
def test_a_plan_that_cannot_be_is_refused(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--out", str(tmp_path / "w"), *wrong])
    assert stopped.value.code == 2
    assert f"argument {wrong[0]}: invalid" in capsys.readouterr().err


def test_what_a_start_would_ignore_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--out", str(tmp_path / "w"), "--start", "x", "--look-steps", "9", "--rank", "4"])
    assert stopped.value.code == 2
    assert "got look_steps, rank with --start; allowed" in capsys.readouterr().err


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
    again = load_adapted(tmp_path / "w.safetensors")
    save_network(tmp_path / "again.safetensors", again, {})
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "w.safetensors"
    ).read_bytes(), "nothing is lost on the way"
    trained = {name for name, p in again.trunk.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * len(adapters)


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
    assert rows.shape[1] == max(len(sequence.ids) for sequence in sequences)
    kinds = padded_modalities(sequences)
    assert kinds.shape == rows.shape[:2]
    assert (kinds[0] == Modality.ASR).sum() == 3, "padding is OTHER"


def test_queries_of_all_lengths_are_as_one_by_one() -> None:
    network, reader = untrained_network(), MiniReader(EncoderOptions(), looks=True, all_words=True)
    queries = ["word " * (1 + n % 9 * 5) for n in range(40)]
    with torch.inference_mode():
        rows, mask = embed_queries(network.eval(), reader, queries)
        for number in (0, 8, 31, 39):
            [alone], [real] = embed_queries(network, reader, [queries[number]])
            assert mask[number].sum() == real.sum()
            same = (rows[number][mask[number]] * alone[real]).sum(dim=-1)
            assert same.min() > 0.99, "bfloat16"


def test_lengths_that_are_rounded_up_change_no_row() -> None:
    network, reader = untrained_network(), MiniReader(EncoderOptions(), looks=True, all_words=True)
    sequences = [reader.clip(ClipInput(asr="word " * count)) for count in (3, 11)]
    with torch.inference_mode():
        plain, rounded = network.eval()(sequences), network(sequences, 8)
    assert rounded.shape[1] % 8 == 0
    assert rounded.shape[1] - plain.shape[1] in range(1, 8)
    for sequence, ours, theirs in zip(sequences, plain, rounded, strict=True):
        count = len(sequence.ids)
        torch.testing.assert_close(ours[:count], theirs[:count], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("half_seconds", "knows"), [(0.4, True), (0.9, False), (80.0, False)])
def test_bfloat16_is_used_only_where_it_is_faster(
    half_seconds: float, knows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = [1.0] * 5 + [half_seconds] * 5
    clock = iter([reading for seconds in took for reading in (0.0, seconds)])
    with monkeypatch.context() as patch:
        patch.setattr(encoding.time, "perf_counter", lambda: next(clock))
        assert knows_bfloat16.__wrapped__() == knows
    monkeypatch.setattr(encoding, "knows_bfloat16", lambda: knows)
    with half():
        product = torch.ones(2, 3) @ torch.ones(3, 2)
    assert (product.dtype == torch.bfloat16) == knows


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_large_blocks_are_kept_when_they_are_freed() -> None:
    script = (
        "import resource, torch\n"
        "from eval.mini.memory import keep_large_blocks\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(20):\n"
        "        torch.zeros(16 << 20)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "torch.set_num_threads(1)\n"
        "without = faults()\n"
        "keep_large_blocks()\n"
        "faults()\n"
        "print(without, faults())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    without, kept = map(int, done.stdout.split())
    assert kept * 20 < without, done.stderr


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
