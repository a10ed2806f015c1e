"""The prose set is what it says, and every figure of it equals a direct computation."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clamr_rag.encoder import load_encoder
from clamr_rag.encoder.clip_reading import FramesWanted
from clamr_rag.encoder.minilm import model_folder
from clamr_rag.errors import UsageError
from clamr_rag.types import ClipInput, Modality, MultiVector
from eval import run_prose
from eval.prose import TEST_FILE, Paragraph, Prose, Question, read_prose
from eval.prose.rankers import (
    UNTRAINED_FILE,
    bm25_scores,
    late_interaction_scores,
    pooled_scores,
    untrained_projection,
    untrained_scores,
)
from eval.run_prose import BM25, POOLED, UNDER_TEST, UNTRAINED, measure, render
from eval.sentences import Sentences

PROSE = read_prose()
TEXTS = {paragraph.paragraph_id: paragraph.text for paragraph in PROSE.paragraphs}
_FUNCTION_WORDS = frozenset(
    """a about after all an and any are as at be been before both but by can could did do does for
    from get give had has have how if in instead into is it its less long longer make many more
    most much must no not of off on one only or other others out over own should so somebody
    someone still such than that the their them then there they this those to under up used very
    was were what when where which while who whom whose why will with without would years
    """.split()
)


def stems(text: str) -> set[str]:
    """First five letters of each word that is no function word."""
    return {w[:5] for w in re.findall(r"[\w']+", text.lower()) if w not in _FUNCTION_WORDS}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def names(question: str) -> set[str]:
    """Capitalised words behind the first one: people, places, makes."""
    return {word for word in re.findall(r"\w+", question)[1:] if word[0].isupper()}


def subset(topics: set[str]) -> Prose:
    return Prose(
        tuple(p for p in PROSE.paragraphs if p.topic in topics),
        tuple(q for q in PROSE.questions if q.topic in topics),
        "subset",
    )


# --- the set


def test_the_set_has_forty_topics_of_five_paragraphs_and_enough_questions() -> None:
    assert Counter(Counter(p.topic for p in PROSE.paragraphs).values()) == {5: 40}
    assert len(PROSE.questions) >= 260
    asked = Counter(question.paragraph_id for question in PROSE.questions)
    assert asked.keys() == TEXTS.keys()
    assert set(asked.values()) == {1, 2}
    wordings = Counter(question.wording for question in PROSE.questions)
    assert all(0.4 < count / len(PROSE.questions) < 0.6 for count in wordings.values())


def test_paragraphs_are_as_long_as_said() -> None:
    assert {len(text.split()) for text in TEXTS.values()} <= set(range(50, 91))


def test_questions_are_questions_and_none_comes_twice() -> None:
    texts = [question.text for question in PROSE.questions]
    assert all(text.endswith("?") and text[0].isupper() for text in texts)
    assert len({text.casefold() for text in texts}) == len(texts)


def test_no_two_paragraphs_share_a_run_of_seven_words() -> None:
    runs: dict[tuple[str, ...], str] = {}
    for paragraph_id, text in TEXTS.items():
        words = re.findall(r"[\w']+", text.lower())
        for run in zip(*(words[start:] for start in range(7)), strict=False):
            assert runs.setdefault(run, paragraph_id) == paragraph_id, run


def test_wordings_are_what_they_are_called() -> None:
    shares: dict[str, list[float]] = {"shared": [], "paraphrase": []}
    for question in PROSE.questions:
        asked, told = stems(question.text), stems(TEXTS[question.paragraph_id])
        assert len(asked & told) >= 1 or question.wording == "paraphrase", question
        assert len(asked & told) <= 2 or question.wording == "shared", question
        shares[question.wording].append(len(asked & told) / len(asked))
    assert np.mean(shares["shared"]) > 0.5
    assert np.mean(shares["paraphrase"]) < 0.1


def test_the_names_of_a_question_stand_together_in_one_paragraph_of_its_topic() -> None:
    num_named = 0
    for question in PROSE.questions:
        gold = words_of(TEXTS[question.paragraph_id])
        # A paraphrase may name what the paragraph does not ("Camembert").
        if told := names(question.text) & gold:
            rivals = [p for p in PROSE.paragraphs if p.topic == question.topic]
            holders = [p.paragraph_id for p in rivals if told <= words_of(p.text)]
            assert holders == [question.paragraph_id], question
            num_named += 1
    assert num_named > 60


def test_no_other_paragraph_has_all_the_words_of_a_question() -> None:
    told = {paragraph_id: stems(text) for paragraph_id, text in TEXTS.items()}
    for question in PROSE.questions:
        asked = stems(question.text)
        others = [p for p in TEXTS if asked <= told[p] and p != question.paragraph_id]
        assert not others, (question, others)


def test_topics_share_their_vocabulary() -> None:
    """Paragraphs of one topic are harder to tell apart than those of two."""
    told = {p.paragraph_id: stems(p.text) for p in PROSE.paragraphs}
    within, between = [], []
    for one, other in combinations(PROSE.paragraphs, 2):
        shared = len(told[one.paragraph_id] & told[other.paragraph_id])
        (within if one.topic == other.topic else between).append(shared)
    assert np.mean(within) > 1.5 * np.mean(between)


# --- reading

GOOD = {
    "paragraph_id": "p",
    "topic": "t",
    "text": "Tea is poured.",
    "questions": [{"question_id": "q", "text": "What is poured?", "wording": "shared"}],
}


def write(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_set_comes_back_as_written(tmp_path: Path) -> None:
    found = read_prose(write(tmp_path / "set.jsonl", [GOOD]))
    assert found.paragraphs == (Paragraph("p", "t", "Tea is poured."),)
    assert found.questions == (Question("q", "What is poured?", "shared", "p", "t"),)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no questions"),
        ([GOOD, GOOD], "'p' 2 times"),
        ([GOOD, {**GOOD, "paragraph_id": "o", "text": "Tea  is poured."}], "'Tea is poured.' 2"),
        ([GOOD, {**GOOD, "paragraph_id": "o", "text": "Milk."}], "'q' 2 times"),
        ([GOOD, {**GOOD, "text": " "}], r"got text ' ' in .*jsonl:2"),
        ([{**GOOD, "topic": 3}], r"got topic 3 in .*jsonl:1"),
        ([{**GOOD, "questions": "none"}], "allowed: a list"),
        ([{**GOOD, "questions": [{**GOOD["questions"][0], "wording": "easy"}]}], "'easy'"),  # type: ignore[index, dict-item]
        ([["p"]], "got paragraph_id None"),
    ],
)
def test_a_set_that_is_not_as_it_should_be_is_refused(
    tmp_path: Path, rows: list[object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_prose(write(tmp_path / "set.jsonl", rows))


def test_a_set_that_is_not_there_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_prose(tmp_path / "nowhere.jsonl")
    (tmp_path / "set.jsonl").write_text('{"paragraph_id": \n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"set.jsonl:1 is not JSON"):
        read_prose(tmp_path / "set.jsonl")


# --- rankers


def test_bm25_is_the_formula_with_the_constants_of_fts5() -> None:
    prose = subset({"cheese", "coffee", "chess"})
    told = {p.paragraph_id: re.findall(r"\w+", p.text.lower()) for p in prose.paragraphs}
    mean_length = np.mean([len(words) for words in told.values()])
    found = bm25_scores(prose)
    for question in prose.questions:
        expected: dict[str, float] = {}
        for word in re.findall(r"\w+", question.text.lower()):
            holders = [name for name, words in told.items() if word in words]
            weight = math.log((len(told) - len(holders) + 0.5) / (len(holders) + 0.5))
            for name in holders:
                count, length = told[name].count(word), len(told[name])
                norm = count + 1.2 * (0.25 + 0.75 * length / mean_length)
                value = max(weight, 1e-6) * count * 2.2 / norm
                expected[name] = expected.get(name, 0.0) + value
        assert found[question.question_id] == pytest.approx(expected, abs=1e-9)


class Letters:
    """An encoder whose token vectors stand for the first letters of words."""

    name = fingerprint = running_on = "letters"
    dim = 8
    reads = frozenset({Modality.ASR})
    frames_wanted = FramesWanted(4, 448)

    def encode_query(self, text: str) -> MultiVector:
        return self._rows(text)

    def encode_clips(
        self, clips: Sequence[ClipInput], *, keep_other: bool = False
    ) -> list[MultiVector]:
        return [self._rows(clip.asr or "") for clip in clips]

    def _rows(self, text: str) -> MultiVector:
        angles = np.array(
            [[ord(word[0].lower()) * k for k in range(1, 9)] for word in text.split()]
        )
        rows = np.sin(angles).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        size = len(rows)
        return MultiVector(rows, np.full(size, Modality.ASR, np.uint8), np.zeros(size, np.float32))


def test_late_interaction_is_the_mean_of_each_question_tokens_best() -> None:
    prose, encoder = subset({"soil", "radio"}), Letters()
    found = late_interaction_scores(prose, encoder)
    assert len(found) == len(prose.questions)
    for question in prose.questions:
        query = encoder._rows(question.text).vectors
        expected = {
            p.paragraph_id: float((query @ encoder._rows(p.text).vectors.T).max(axis=1).mean())
            for p in prose.paragraphs
        }
        assert found[question.question_id] == pytest.approx(expected, abs=1e-5)


@cache
def published() -> tuple[Any, Any]:
    """Tokenizer and model as transformers' own BERT reads them."""
    from transformers import BertModel, BertTokenizerFast

    folder = model_folder()
    return BertTokenizerFast.from_pretrained(folder), BertModel.from_pretrained(folder).eval()


def hidden_states(text: str) -> torch.Tensor:
    """What transformers' own BERT makes of a text, ``(n, 384)``, special tokens included."""
    tokenizer, model = published()
    with torch.inference_mode():
        states: torch.Tensor = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0]
    return states


def test_sentence_vectors_are_the_mean_over_all_tokens_of_the_published_model() -> None:
    prose = subset({"opera"})
    short = Prose(prose.paragraphs[:2], prose.questions[:1], "short")
    question, *paragraphs = (
        torch.nn.functional.normalize(hidden_states(text).mean(dim=0), dim=0)
        for text in (short.questions[0].text, *(p.text for p in short.paragraphs))
    )
    expected = {
        p.paragraph_id: float(question @ vector)
        for p, vector in zip(short.paragraphs, paragraphs, strict=True)
    }
    found = pooled_scores(short, Sentences())[short.questions[0].question_id]
    assert found == pytest.approx(expected, abs=1e-4)


def test_untrained_scores_are_maxsim_of_the_projected_states_of_the_published_model() -> None:
    prose = subset({"opera"})
    short = Prose(prose.paragraphs[:1], prose.questions[:1], "short")
    projection = torch.linalg.qr(torch.randn(384, 16, generator=torch.manual_seed(3)))[0]
    query, told = (
        torch.nn.functional.normalize(hidden_states(text)[1:-1] @ projection, dim=-1)
        for text in (short.questions[0].text, short.paragraphs[0].text)
    )
    expected = float((query @ told.T).max(dim=1).values.mean())
    found = untrained_scores(short, Sentences(), projection)
    assert found[short.questions[0].question_id] == pytest.approx(
        {short.paragraphs[0].paragraph_id: expected}, abs=1e-4
    )


def test_no_paragraph_or_question_is_cut() -> None:
    trunk = Sentences()
    longest = sorted(TEXTS.values(), key=len)[-5:]
    assert max(map(len, trunk.hidden(longest))) < 200
    assert len(trunk.hidden(["word " * 600])[0]) == 512


def test_a_projection_that_has_changed_is_no_untrained_one(tmp_path: Path) -> None:
    assert untrained_projection(tmp_path / "gone.safetensors") is None
    changed = tmp_path / UNTRAINED_FILE.name
    changed.write_bytes(b"trained since")
    assert untrained_projection(changed) is None


# --- the run


def direct(scores: dict[str, dict[str, float]], prose: Prose) -> dict[str, float]:
    """Mean figures with one wanted paragraph, last among equal scores, without eval.metrics."""
    ranks = []
    for question in prose.questions:
        found = scores[question.question_id]
        wanted = found.get(question.paragraph_id, -math.inf)
        rank = sum(score >= wanted for score in found.values())
        ranks.append(rank if question.paragraph_id in found else math.inf)
    return {
        "nDCG@10": float(np.mean([1 / math.log2(r + 1) if r <= 10 else 0.0 for r in ranks])),
        "R@1": float(np.mean([r == 1 for r in ranks])),
        "MRR": float(np.mean([1 / r for r in ranks])),
    }


def test_what_is_printed_equals_a_direct_computation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = ('"cheese"', '"coffee"')
    lines = TEST_FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    path, out = tmp_path / "small.jsonl", tmp_path / "figures.json"
    path.write_text("".join(x for x in lines if any(f": {t}," in x for t in topics)), "utf-8")
    monkeypatch.setattr("sys.argv", ["run_prose", "--prose", str(path), "--out", str(out)])
    run_prose.main()
    printed = capsys.readouterr().out
    prose = read_prose(path)
    assert printed.startswith(f"10 paragraphs, {len(prose.questions)} questions")
    expected = {
        UNDER_TEST: direct(late_interaction_scores(prose, load_encoder("mini")), prose),  # type: ignore[arg-type]
        BM25: direct(bm25_scores(prose), prose),  # type: ignore[arg-type]
        POOLED: direct(pooled_scores(prose, Sentences()), prose),  # type: ignore[arg-type]
    }
    table = printed.split("\n\n")[1].splitlines()
    assert re.split(r"\s{2,}", table[1].strip()) == ["nDCG@10", "R@1", "MRR"]
    for way, figures in expected.items():
        (line,) = [x for x in table[2 : table.index(f"  {UNDER_TEST} minus")] if f"  {way}  " in x]
        assert re.findall(r"(\d\.\d{3}) \[", line) == [f"{v:.3f}" for v in figures.values()]
    differences = table[table.index(f"  {UNDER_TEST} minus") + 1 :]
    (line,) = [x for x in differences if POOLED in x]
    wanted = [expected[UNDER_TEST][name] - expected[POOLED][name] for name in expected[POOLED]]
    assert [float(x) for x in re.findall(r"([+-]\d\.\d{3}) \[", line)] == pytest.approx(
        wanted, abs=6e-4
    )
    written = json.loads(out.read_text(encoding="utf-8"))
    (row,) = [
        r
        for r in written["rows"]
        if (r["way"], r["group"], r["measure"]) == (BM25, "all", "nDCG@10")
    ]
    assert row["interval"]["mean"] == pytest.approx(expected[BM25]["nDCG@10"])
    assert row["interval"]["num_clusters"] == 2
    assert written["prose_sha256"] == prose.sha256


def test_groups_are_the_questions_of_one_wording_and_differences_are_of_the_rows() -> None:
    prose = subset({"soil", "radio"})
    result = measure(prose, Letters())
    counts = result.num_questions
    assert counts["all"] == counts["shared"] + counts["paraphrase"] == len(prose.questions)
    means = {(r.way, r.group, r.measure): r.interval.mean for r in result.rows}
    assert len(result.differences) == len(means) * (1 - 1 / len(result.num_tied))
    for found in result.differences:
        own, other = (means[way, found.group, found.measure] for way in (UNDER_TEST, found.way))
        assert found.interval.mean == pytest.approx(own - other)
    for name in ("nDCG@10", "R@1", "RR"):
        total = sum(
            means[POOLED, group, name] * counts[group] for group in ("shared", "paraphrase")
        )
        assert means[POOLED, "all", name] == pytest.approx(total / counts["all"])


class Constant(Letters):
    """An encoder to which all texts are the same."""

    def _rows(self, text: str) -> MultiVector:
        return super()._rows("same")


def test_equal_scores_flatter_nobody_and_are_said() -> None:
    prose = subset({"soil", "radio"})
    result = measure(prose, Constant())
    (row,) = [r for r in result.rows if (r.way, r.group, r.measure) == (UNDER_TEST, "all", "R@1")]
    assert (row.interval.mean, row.best) == (0.0, 1.0)
    every = len(prose.questions)
    assert f"{UNDER_TEST}: equal scores matter in {every} questions" in render(result)


def test_a_baseline_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_prose, "untrained_projection", lambda: None)
    result = measure(subset({"soil"}), Letters())
    assert UNTRAINED not in {row.way for row in result.rows}
    assert f"skipped {UNTRAINED}: {UNTRAINED_FILE.name}" in render(result)
