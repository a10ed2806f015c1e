"""Retrieval benchmarks out of files as published, and the released MultiVENT 2.0++ metric."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from benchmark_files import touch, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.errors import UsageError
from clamr_rag.types import Modality, TimeSpan
from eval.benchmarks import load_options, load_qa, load_retrieval
from eval.benchmarks.multivent import modality_of
from eval.benchmarks.tables import videos_under
from eval.metrics.rankings import average_ndcg, score_rankings
from eval.released_metric import (
    MEASURES,
    ScoredPool,
    ceiling,
    diagonal,
    main,
    read_pool,
    released,
    run_pool,
    save_pool,
    synthetic_pool,
    table,
    with_copies,
    without_copies,
)
from eval.retrieval_records import (
    FoundCandidate,
    IndexTiming,
    RankingRecord,
    RankingTiming,
    RetrievalHeader,
    begin_retrieval_run,
    load_retrieval_run,
    rankings_file,
)

GOLDEN = json.loads(
    (Path(__file__).parent / "golden" / "torchmetrics_ranking.json").read_text(encoding="utf-8")
)
"""Made by the real torchmetrics: tests/golden/make_torchmetrics_ranking.py."""
LAWS = settings(max_examples=60, deadline=None)


def write(path: Path, value: object) -> Path:
    """A text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def asked(benchmark: object) -> list[tuple[str, dict[str, int]]]:
    return [(query.text, dict(query.relevant)) for query in benchmark.queries]  # type: ignore[attr-defined]


# MSR-VTT


@pytest.fixture
def msrvtt(tmp_path: Path) -> Path:
    """Three test videos, two of them in 1k-A, and one of training; one file on disk."""
    write(
        tmp_path / "msrvtt_data" / "MSRVTT_JSFUSION_test.csv",
        "key,vid_key,video_id,sentence\n"
        'ret0,msr9770,video9770,"a person, outdoors, connects"\n'
        "ret1,msr9771,video9771,a little girl does gymnastics\n",
    )
    videos = [
        {
            "id": number,
            "video_id": f"video{number}",
            "category": 1,
            "url": "https://example.org",
            "start time": 10.0,
            "end time": 20.5,
            "split": split,
        }
        for number, split in ((1, "train"), (9770, "test"), (9771, "test"), (9772, "test"))
    ]
    sentences = [
        {"sen_id": place, "video_id": f"video{number}", "caption": f"caption {place}"}
        for place, number in enumerate((1, 9770, 9771, 9770, 9772))
    ]
    write(
        tmp_path / "msrvtt_data" / "MSRVTT_data.json",
        {"info": {}, "videos": videos, "sentences": sentences},
    )
    touch(tmp_path / "MSRVTT_Videos" / "video9771.mp4")
    return tmp_path


def test_msrvtt_1k_a_asks_one_caption_of_every_video_of_the_csv(msrvtt: Path) -> None:
    benchmark = load_retrieval("msrvtt", msrvtt)
    assert asked(benchmark) == [
        ("a person, outdoors, connects", {"video9770": 1}),
        ("a little girl does gymnastics", {"video9771": 1}),
    ]
    assert [c.candidate_id for c in benchmark.candidates] == ["video9770", "video9771"]
    assert benchmark.candidates[0].span is None
    assert benchmark.missing_videos == ("video9770",)
    assert benchmark.videos["video9771"].path == msrvtt / "MSRVTT_Videos" / "video9771.mp4"
    assert benchmark.source.startswith("MSRVTT_JSFUSION_test.csv sha256:")


def test_msrvtt_all_asks_every_caption_of_the_same_videos(msrvtt: Path) -> None:
    benchmark = load_retrieval("msrvtt", msrvtt, split="1k-A-all")
    assert asked(benchmark) == [
        ("caption 1", {"video9770": 1}),
        ("caption 3", {"video9770": 1}),
        ("caption 2", {"video9771": 1}),
    ]
    assert benchmark.videos["video9770"].duration_seconds == 10.5
    assert "MSRVTT_data.json" in benchmark.source


def test_msrvtt_full_is_the_test_split_of_the_release(msrvtt: Path) -> None:
    benchmark = load_retrieval("msrvtt", msrvtt, split="full")
    assert len(benchmark.candidates) == 3
    assert len(benchmark.queries) == 4


def test_msrvtt_needs_no_json_for_1k_a_and_says_what_else_it_needs(msrvtt: Path) -> None:
    (msrvtt / "msrvtt_data" / "MSRVTT_data.json").unlink()
    assert len(load_retrieval("msrvtt", msrvtt).queries) == 2
    with pytest.raises(UsageError, match=r"MSRVTT_data\.json"):
        load_retrieval("msrvtt", msrvtt, split="1k-A-all")
    with pytest.raises(UsageError, match="1k-B"):
        load_retrieval("msrvtt", msrvtt, split="1k-B")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,vid_key,video_id\nret0,msr1,video1\n", "no column 'sentence'"),
        ("key,vid_key,video_id,sentence\na,b,video1,x\na,b,video1,y\n", "row 2.*twice"),
        ("key,vid_key,video_id,sentence\na,b,video1,x, y\n", "row 1.*header"),
        ("key,vid_key,video_id,sentence\na,b,video1\n", "row 1.*header"),
        ("key,vid_key,video_id,sentence\na,b,video1,x\na,b,,y\n", "row 2.*video_id"),
        ('key,vid_key,video_id,sentence\na,b,video1,"x\n', "not CSV"),
        ("", "no header"),
    ],
)
def test_msrvtt_refuses_a_wrong_csv_by_row(msrvtt: Path, text: str, message: str) -> None:
    path = write(msrvtt / "msrvtt_data" / "MSRVTT_JSFUSION_test.csv", text)
    with pytest.raises(UsageError, match=message) as raised:
        load_retrieval("msrvtt", msrvtt)
    assert str(path) in str(raised.value)


def test_msrvtt_refuses_a_release_that_does_not_fit(msrvtt: Path) -> None:
    path = msrvtt / "msrvtt_data" / "MSRVTT_data.json"
    release = json.loads(path.read_text())
    write(path, release | {"videos": release["videos"][:2]})
    with pytest.raises(UsageError, match="video9771"):
        load_retrieval("msrvtt", msrvtt, split="1k-A-all")
    write(path, release | {"sentences": release["sentences"][:2]})
    with pytest.raises(UsageError, match="no sentence of 'video9771'"):
        load_retrieval("msrvtt", msrvtt, split="1k-A-all")
    release["videos"][1]["end time"] = 10.0
    write(path, release)
    with pytest.raises(UsageError, match=r"videos 2.*end after the start"):
        load_retrieval("msrvtt", msrvtt, split="full")


# MSVD


@pytest.fixture
def msvd(tmp_path: Path) -> Path:
    """Two test clips, one on disk, and captions of a third."""
    write(tmp_path / "test_list.txt", "vid_1_5_15\nx-y_z_30_36\n")
    write(
        tmp_path / "AllVideoDescriptions.txt",
        "# MSVD descriptions\n#\n\n"
        "vid_1_5_15 A squirrel eats a peanut.\nvid_1_5_15 an animal eats\n"
        "x-y_z_30_36 a man is cooking\nother_1_2 somebody rides\n",
    )
    touch(tmp_path / "YouTubeClips" / "vid_1_5_15.avi")
    return tmp_path


def test_msvd_asks_every_caption_of_the_listed_clips(msvd: Path) -> None:
    benchmark = load_retrieval("msvd", msvd)
    assert asked(benchmark) == [
        ("A squirrel eats a peanut.", {"vid_1_5_15": 1}),
        ("an animal eats", {"vid_1_5_15": 1}),
        ("a man is cooking", {"x-y_z_30_36": 1}),
    ]
    assert [query.query_id for query in benchmark.queries][:2] == ["vid_1_5_15#0", "vid_1_5_15#1"]
    assert benchmark.missing_videos == ("x-y_z_30_36",)


def test_msvd_reads_the_english_rows_of_the_corpus(msvd: Path) -> None:
    (msvd / "AllVideoDescriptions.txt").unlink()
    write(
        msvd / "video_corpus.csv",
        "VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
        'vid_1,5,15,1,clean,2,English,"A squirrel, eating"\n'
        "vid_1,5,15,1,clean,2,German,Ein Tier\nvid_1,5,15,1,clean,2,English,\n"
        "x-y_z,30,36,1,unverified,2,English,a man is cooking\n",
    )
    benchmark = load_retrieval("msvd", msvd)
    assert asked(benchmark) == [
        ("A squirrel, eating", {"vid_1_5_15": 1}),
        ("a man is cooking", {"x-y_z_30_36": 1}),
    ]
    assert "video_corpus.csv sha256:" in benchmark.source


class _Trap:
    """Unpickling this leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._path),)


def test_msvd_never_opens_a_pickle(msvd: Path) -> None:
    trapped = msvd / "trapped"
    (msvd / "raw-captions.pkl").write_bytes(pickle.dumps(_Trap(trapped)))
    assert len(load_retrieval("msvd", msvd).queries) == 3

    (msvd / "AllVideoDescriptions.txt").unlink()
    with pytest.raises(UsageError, match=r"raw-captions\.pkl is a pickle") as raised:
        load_retrieval("msvd", msvd)
    assert "AllVideoDescriptions.txt" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not trapped.exists()


def test_msvd_refuses_clips_without_captions_and_lines_without_them(msvd: Path) -> None:
    write(msvd / "test_list.txt", "vid_1_5_15\n\nunknown_1_2\n")
    with pytest.raises(UsageError, match=r"test_list\.txt line 3.*unknown_1_2"):
        load_retrieval("msvd", msvd)
    write(msvd / "AllVideoDescriptions.txt", "vid_1_5_15 a caption\nvid_1_5_15\n")
    with pytest.raises(UsageError, match=r"AllVideoDescriptions\.txt line 2"):
        load_retrieval("msvd", msvd)


def test_msvd_refuses_text_that_is_not_utf_8(msvd: Path) -> None:
    (msvd / "test_list.txt").write_bytes(b"vid_1_5_15\nvid\xff_1\n")
    with pytest.raises(UsageError, match=r"test_list\.txt.*UTF-8"):
        load_retrieval("msvd", msvd)


# DiDeMo


@pytest.fixture
def didemo(tmp_path: Path) -> Path:
    """Two counted videos and one that is not; names as they are, and one converted file."""
    rows = [
        {
            "annotation_id": place,
            "video": video,
            "description": text,
            "times": [[0, 0], [1, 1]],
            "num_segments": 6,
            "dl_link": "https://example.org",
        }
        for place, (video, text) in enumerate(
            [
                ("1@N00_2_3.mov", "a dog runs "),
                ("7@N01_8_9.mp4", "the sea"),
                ("1@N00_2_3.mov", "it comes back."),
                ("5@N05_5_5.avi", "not counted"),
            ]
        )
    ]
    write(tmp_path / "test_data.json", rows)
    write(tmp_path / "test_list.txt", "1@N00_2_3.mov\n7@N01_8_9.mp4\n")
    touch(tmp_path / "DiDeMo_Videos" / "1@N00_2_3.mp4")
    return tmp_path


def test_didemo_joins_the_descriptions_of_a_listed_video(didemo: Path) -> None:
    benchmark = load_retrieval("didemo", didemo)
    assert asked(benchmark) == [
        ("a dog runs it comes back.", {"1@N00_2_3.mov": 1}),
        ("the sea", {"7@N01_8_9.mp4": 1}),
    ]
    assert benchmark.missing_videos == ("7@N01_8_9.mp4",)
    assert "test_list.txt sha256:" in benchmark.source


def test_didemo_searches_the_part_that_was_described(didemo: Path) -> None:
    assert load_retrieval("didemo", didemo).candidates[0].span == TimeSpan(0, 31)
    whole = load_retrieval("didemo", didemo, part="whole")
    assert whole.candidates[0].span is None
    assert whole.split == "test-whole"


def test_didemo_without_a_list_counts_all_videos(didemo: Path) -> None:
    (didemo / "test_list.txt").unlink()
    assert len(load_retrieval("didemo", didemo).candidates) == 3


def test_didemo_refuses_rows_and_lists_that_do_not_fit(didemo: Path) -> None:
    write(didemo / "test_list.txt", "1@N00_2_3.mov\nelsewhere.mp4\n")
    with pytest.raises(UsageError, match=r"test_list\.txt line 2.*elsewhere"):
        load_retrieval("didemo", didemo)
    write(didemo / "test_data.json", [{"video": "a.mp4", "description": None}])
    with pytest.raises(UsageError, match=r"test_data\.json row 1.*description"):
        load_retrieval("didemo", didemo)
    write(didemo / "test_data.json", {"rows": []})
    with pytest.raises(UsageError, match=r"test_data\.json.*list"):
        load_retrieval("didemo", didemo)


# ActivityNet Captions


@pytest.fixture
def activitynet(tmp_path: Path) -> Path:
    """Three described videos, two counted; files under both names."""
    captions = {
        f"v_{name}": {
            "duration": 82.73,
            "timestamps": [[0.83, 19.86], [60.0, 17.0]],
            "sentences": [f"A woman {name} is seen.", "  She goes on. "],
        }
        for name in ("aa", "bb", "cc")
    }
    write(tmp_path / "captions" / "val_1.json", captions)
    write(tmp_path / "captions" / "val_2.json", {"v_aa": captions["v_aa"]})
    write(tmp_path / "captions" / "val_ids.json", ["v_aa", "v_bb"])
    touch(tmp_path / "videos" / "v_aa.mkv", tmp_path / "videos" / "bb.mp4")
    return tmp_path


def test_activitynet_asks_a_paragraph_of_every_listed_video(activitynet: Path) -> None:
    benchmark = load_retrieval("activitynet", activitynet)
    assert asked(benchmark) == [
        ("A woman aa is seen. She goes on.", {"v_aa": 1}),
        ("A woman bb is seen. She goes on.", {"v_bb": 1}),
    ]
    assert benchmark.videos["v_aa"].duration_seconds == 82.73
    assert benchmark.missing_videos == ()
    assert benchmark.videos["v_bb"].path == activitynet / "videos" / "bb.mp4"


def test_activitynet_second_annotator_need_not_have_every_video(activitynet: Path) -> None:
    assert len(load_retrieval("activitynet", activitynet, split="val_2").queries) == 1
    write(activitynet / "captions" / "val_ids.json", ["v_aa", "v_zz"])
    with pytest.raises(UsageError, match="v_zz"):
        load_retrieval("activitynet", activitynet)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"duration": 1.0, "timestamps": [], "sentences": ["x"]}, "1 sentences and 0"),
        ({"duration": 1.0, "timestamps": [], "sentences": []}, "sentences"),
        ({"duration": "1", "timestamps": [[0, 1]], "sentences": ["x"]}, "duration"),
        (["x"], "object"),
    ],
)
def test_activitynet_refuses_a_wrong_entry_by_its_video(
    activitynet: Path, entry: object, message: str
) -> None:
    path = write(activitynet / "captions" / "val_1.json", {"v_aa": entry, "v_bb": entry})
    with pytest.raises(UsageError, match=message) as raised:
        load_retrieval("activitynet", activitynet)
    assert str(path) in str(raised.value)
    assert "v_aa" in str(raised.value)


def test_activitynet_refuses_an_id_list_that_is_none(activitynet: Path) -> None:
    write(activitynet / "captions" / "val_ids.json", {"v_aa": 1})
    with pytest.raises(UsageError, match=r"val_ids\.json"):
        load_retrieval("activitynet", activitynet)


# MultiVENT

JUDGED = [
    ("flood_base_0", "vid_A", 1),
    ("flood_ocr_0", "vid_A", 1),
    ("flood_ocr_0", "vid_B", 3),
    ("flood_speech_0", "vid_A", 1),
    ("quake_description_0", "vid_B", 1),
    ("quake_description_0", "vid_C", 1),
    ("quake_base_0", "vid_A", 0),
]


@pytest.fixture
def multivent(tmp_path: Path) -> Path:
    """Four videos, one without frames (vid_C) and one never judged (vid_D); two on disk."""
    write(
        tmp_path / "multivent_2_train_queries.csv",
        "Query_id,query\n"
        'flood_base_0,"Flood, seen from above"\n'
        "flood_ocr_0,flood sign\n"
        "flood_speech_0,flood report\n"
        "quake_description_0,2011 quake\n"
        "quake_base_0,houses\n",
    )
    rows = [{"query_id": q, "doc_id": d, "relevance": grade} for q, d, grade in JUDGED]
    write_jsonl(tmp_path / "multivent_2_train_judgments.jsonl", rows)
    write(tmp_path / "multivent_2_test_queries.csv", "Query_id,query\nfire_base_0,a fire\n")
    frames = {"000001/vid_A.mp4": [0, 30], "000002/vid_B.mp4": [0], "000002/vid_C.mp4": []}
    write(tmp_path / "clamr" / "multivent_train_mapping.json", frames)
    touch(
        tmp_path / "train" / "000001" / "vid_A.mp4",
        tmp_path / "train" / "000009" / "vid_D.mp4",
        tmp_path / "test" / "000003" / "vid_T.mp4",
    )
    return tmp_path


def test_multivent_released_protocol_has_a_row_per_judgement(multivent: Path) -> None:
    benchmark = load_retrieval("multivent", multivent, protocol="2.0++released")
    assert [(c.candidate_id, c.video_id) for c in benchmark.candidates] == [
        ("row-0000", "vid_A"),
        ("row-0001", "vid_A"),
        ("row-0002", "vid_B"),
        ("row-0003", "vid_A"),
        ("row-0004", "vid_B"),
    ]
    assert [dict(q.relevant) for q in benchmark.queries] == [
        {f"row-{number:04d}": 1} for number in range(5)
    ]
    assert [q.text for q in benchmark.queries][:3] == ['"Flood', "flood sign", "flood sign"]
    assert [q.modality for q in benchmark.queries] == [
        Modality.VIDEO,
        Modality.OCR,
        Modality.OCR,
        Modality.ASR,
        Modality.DESCRIPTION,
    ]
    assert benchmark.missing_videos == ("vid_B",)
    assert benchmark.source.count("sha256:") == 3


def test_multivent_deduplicated_protocol_has_each_video_and_query_once(multivent: Path) -> None:
    benchmark = load_retrieval("multivent", multivent)
    assert benchmark.split == "train-2.0++deduplicated"
    assert [c.candidate_id for c in benchmark.candidates] == ["vid_A", "vid_B"]
    assert {q.query_id: dict(q.relevant) for q in benchmark.queries} == {
        "flood_base_0": {"vid_A": 1},
        "flood_ocr_0": {"vid_A": 1, "vid_B": 3},
        "flood_speech_0": {"vid_A": 1},
        "quake_description_0": {"vid_B": 1},
    }
    assert benchmark.queries[0].text == "Flood, seen from above"


def test_multivent_2_searches_what_is_on_disk_or_what_was_judged(multivent: Path) -> None:
    disk = load_retrieval("multivent", multivent, protocol="2.0")
    assert [c.candidate_id for c in disk.candidates] == ["vid_A", "vid_B", "vid_C", "vid_D"]
    assert disk.missing_videos == ("vid_B", "vid_C")
    relevant = {q.query_id: dict(q.relevant) for q in disk.queries}
    assert relevant["quake_description_0"] == {"vid_B": 1, "vid_C": 1}
    assert "quake_base_0" not in relevant, "nothing relevant to find"

    judged = load_retrieval("multivent", multivent, protocol="2.0", pool="judged")
    assert [c.candidate_id for c in judged.candidates] == ["vid_A", "vid_B", "vid_C"]
    assert judged.split == "train-2.0-judged"


def test_multivent_2_test_split_has_hidden_relevance(multivent: Path) -> None:
    benchmark = load_retrieval("multivent", multivent, protocol="2.0", split="test")
    assert asked(benchmark) == [("a fire", {})]
    assert [c.candidate_id for c in benchmark.candidates] == ["vid_T"]
    with pytest.raises(UsageError, match=r"multivent_2_test_judgments\.jsonl"):
        load_retrieval("multivent", multivent, protocol="2.0", split="test", pool="judged")


def write_saved_dataset(folder: Path, rows: list[dict[str, object]]) -> None:
    """Two Arrow streams, as ``datasets`` writes a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate((rows[:2], rows[2:])):
        data = pyarrow.Table.from_pylist(part)
        path = folder / f"data-{number:05d}-of-00002.arrow"
        with path.open("wb") as file, pyarrow.ipc.new_stream(file, data.schema) as writer:
            writer.write_table(data)


def test_multivent_reads_what_the_released_script_saved(multivent: Path) -> None:
    shards = {"vid_A": "000001", "vid_B": "000002"}
    queries = ['"Flood', "flood sign", "flood sign", "flood report", "2011 quake"]
    kept = [(q, d) for q, d, grade in JUDGED if grade and d in shards]
    rows = [
        {"video_id": f"{shards[d]}_{d}", "images": ["x.jpg"], "query": text, "query_id": q}
        for text, (q, d) in zip(queries, kept, strict=True)
    ]
    write_saved_dataset(multivent / "multivent_hf" / "train", rows)
    saved = load_retrieval("multivent", multivent, protocol="2.0++released", rows="multivent_hf")
    sources = load_retrieval("multivent", multivent, protocol="2.0++released")
    assert (saved.candidates, saved.queries) == (sources.candidates, sources.queries)
    assert saved.source.startswith("data-00000-of-00002.arrow sha256:")

    write_saved_dataset(multivent / "multivent_hf" / "train", [{"video_id": "x"}] * 3)
    with pytest.raises(UsageError, match=r"data-00000-of-00002\.arrow.*query"):
        load_retrieval("multivent", multivent, rows="multivent_hf")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query_id": "flood_base_0", "doc_id": "vid_A", "relevance": 4}, "relevance"),
        ({"query_id": "flood_base_0", "doc_id": "vid_A", "relevance": True}, "relevance"),
        ({"query_id": "flood_base_0", "doc_id": "", "relevance": 1}, "doc_id"),
        ({"query_id": "flood_base_0", "relevance": 1}, "doc_id"),
        (["flood_base_0"], "object"),
    ],
)
@pytest.mark.parametrize("protocol", ["2.0", "2.0++released"])
def test_multivent_refuses_a_wrong_judgement_by_line(
    multivent: Path, row: object, message: str, protocol: str
) -> None:
    good = {"query_id": "flood_base_0", "doc_id": "vid_A", "relevance": 1}
    path = write_jsonl(multivent / "multivent_2_train_judgments.jsonl", [good, row])
    with pytest.raises(UsageError, match=message) as raised:
        load_retrieval("multivent", multivent, protocol=protocol)
    assert str(raised.value).startswith(f"{path} line 2")


def test_multivent_refuses_judgements_of_queries_that_are_not_there(multivent: Path) -> None:
    row = {"query_id": "storm_base_0", "doc_id": "vid_A", "relevance": 1}
    write_jsonl(multivent / "multivent_2_train_judgments.jsonl", [row])
    with pytest.raises(UsageError, match="storm_base_0"):
        load_retrieval("multivent", multivent, protocol="2.0")
    # The released script passes over it, and then nothing is left.
    with pytest.raises(UsageError, match="no query"):
        load_retrieval("multivent", multivent, protocol="2.0++released")


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": "2.0+"},
        {"protocol": "2.0++released", "split": "test"},
        {"protocol": "2.0++released", "pool": "judged"},
        {"protocol": "2.0", "rows": "multivent_hf"},
        {"rows": "elsewhere"},
    ],
)
def test_multivent_refuses_options_that_do_not_go_together(
    multivent: Path, options: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="allowed"):
        load_retrieval("multivent", multivent, **options)


def test_a_query_id_tells_its_modality_in_the_order_of_the_released_script() -> None:
    assert modality_of("description_of_speech_0") is Modality.DESCRIPTION
    assert modality_of("a_baseball_0") is Modality.VIDEO, "a substring, as there"
    assert modality_of("quake_0") is None


# All of them


@pytest.mark.parametrize("name", ["multivent", "msrvtt", "msvd", "didemo", "activitynet"])
def test_loaders_take_text_options_and_have_no_questions(name: str, tmp_path: Path) -> None:
    assert all(isinstance(value, str) for value in load_options(name).values())
    with pytest.raises(UsageError):
        load_retrieval(name, tmp_path)
    with pytest.raises(UsageError):
        load_qa(name, tmp_path)


def test_videos_are_found_through_links_once_and_only_below_the_folder(tmp_path: Path) -> None:
    touch(
        tmp_path / "disk" / "a.MKV",
        tmp_path / "disk" / "deep" / "b.webm",
        tmp_path / "disk" / "deep" / "b.mp4",
        tmp_path / "disk" / "note.txt",
    )
    folder = tmp_path / "benchmark"
    folder.mkdir()
    (folder / "videos").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "circle").symlink_to(tmp_path / "disk")
    found = videos_under(folder)
    assert found == {
        "a": folder / "videos" / "a.MKV",
        "b": folder / "videos" / "deep" / "b.mp4",
    }
    assert videos_under(tmp_path / "nowhere") == {}


# The released metric against the real torchmetrics


def pool_of(scores: object, videos: list[str] | None = None, queries: object = None) -> ScoredPool:
    matrix = np.array(scores, dtype=np.float32)
    names = [str(number) for number in range(len(matrix))]
    return ScoredPool(matrix, tuple(videos or names), tuple(queries or names))  # type: ignore[arg-type]


def has_ties(scores: object) -> bool:
    return any(len(set(row)) < len(row) for row in scores)  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", GOLDEN["diagonal"], ids=lambda case: case["about"])
def test_released_metric_is_torchmetrics(case: dict[str, object]) -> None:
    pool, told = pool_of(case["scores"]), case["metrics"]
    ours = released(pool)
    assert ours["nDCG@10"] == pytest.approx(told["nDCG@10"], abs=2e-6)  # type: ignore[index]
    report = score_rankings(diagonal(pool), _as_scores(pool), MEASURES)
    for measure in MEASURES[1:]:
        if not has_ties(case["scores"]):
            assert ours[measure] == pytest.approx(told[measure], abs=1e-6)  # type: ignore[index]
        else:
            # Where ties stand is up to the build of torch; never better than the best order.
            assert max(ours[measure], told[measure]) <= report.best[measure] + 1e-6  # type: ignore[index]


def test_golden_cases_cover_ties_and_scores_that_are_not_positive() -> None:
    cases = {case["about"]: case for case in GOLDEN["diagonal"]}
    assert sum(has_ties(case["scores"]) for case in cases.values()) >= 4
    negative = cases["no ties, most scores at or below 0"]
    report = score_rankings(
        diagonal(pool_of(negative["scores"])), _as_scores(pool_of(negative["scores"])), MEASURES
    )
    assert negative["metrics"]["R@10"] < report.worst["R@10"], "torchmetrics drops scores <= 0"
    assert GOLDEN["torchmetrics"] == "1.9.0"


def test_tie_averaged_ndcg_of_graded_relevance_is_torchmetrics() -> None:
    for case in GOLDEN["graded"]:
        judged = {"q": {str(n): grade for n, grade in enumerate(case["grades"])}}
        scores = {"q": {str(n): score for n, score in enumerate(case["scores"])}}
        told = average_ndcg(judged, scores, case["cutoff"])
        assert told == pytest.approx(case["ndcg"], abs=2e-6)
    assert sum(has_ties([case["scores"]]) for case in GOLDEN["graded"]) > 60


def _as_scores(pool: ScoredPool) -> dict[str, dict[str, float]]:
    return {
        str(row): {str(column): float(score) for column, score in enumerate(scores)}
        for row, scores in enumerate(pool.scores)
    }


# The duplicated pool


def test_ceiling_of_the_published_shape_is_what_was_reckoned_by_hand() -> None:
    """414 videos in 1,504 rows, 3 or 4 copies each: R@1 27.53 and nDCG@10 66.16."""
    videos = [f"v{number % 414}" for number in range(1504)]
    pool = pool_of(np.zeros((1504, 1504)), videos)
    assert ceiling(pool)["R@1"] == pytest.approx(0.2753, abs=5e-5)
    assert ceiling(pool)["nDCG@10"] == pytest.approx(0.6616, abs=5e-5)
    assert ceiling(pool)["R@5"] == 1.0


def test_a_perfect_retriever_reads_the_ceiling_and_no_more() -> None:
    videos = ["a", "a", "a", "b", "b", "c"]
    perfect = [[float(asked == video) + 0.1 for video in videos] for asked in videos]
    pool = pool_of(perfect, videos)
    told, most = released(pool), ceiling(pool)
    assert told["nDCG@10"] == pytest.approx(most["nDCG@10"])
    assert most["R@1"] == 0.5, "three videos in six rows"
    assert most["nDCG@10"] == pytest.approx(
        (3 * (1 + 1 / np.log2(3) + 0.5) / 3 + 2 * (1 + 1 / np.log2(3)) / 2 + 1) / 6
    )
    # Ours, on the same scores: everything that was wanted was found.
    copies = score_rankings(with_copies(pool), _as_scores(pool), MEASURES)
    assert copies.worst["nDCG@10"] == copies.best["nDCG@10"] == 1.0
    alone = score_rankings(*without_copies(pool), MEASURES)
    assert alone.worst["R@1"] == 1.0
    assert score_rankings(diagonal(pool), _as_scores(pool), MEASURES).worst["R@1"] == 1 / 6


def test_a_query_with_two_videos_lowers_the_ceiling() -> None:
    videos = ["a", "b", "a"]
    alone = ceiling(pool_of(np.zeros((3, 3)), videos))
    shared = ceiling(pool_of(np.zeros((3, 3)), videos, ["q", "q", "r"]))
    assert shared["nDCG@10"] < alone["nDCG@10"]
    # b has one copy and so comes first for q, both copies of a after it.
    expected = (1 + (1 / np.log2(3) + 0.5) / 2 + (1 + 1 / np.log2(3)) / 2) / 3
    assert shared["nDCG@10"] == pytest.approx(expected)


@LAWS
@given(st.data())
def test_no_scores_read_more_than_the_ceiling_where_copies_score_alike(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    videos = data.draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))
    queries = data.draw(st.lists(st.sampled_from("pqrstu"), min_size=n, max_size=n))
    value = st.integers(1, 5)
    by_query = {
        query: {video: data.draw(value) / 8 for video in sorted(set(videos))}
        for query in sorted(set(queries))
    }
    scores = [[by_query[query][video] for video in videos] for query in queries]
    pool = pool_of(scores, videos, queries)
    told, most = released(pool), ceiling(pool)
    assert told["nDCG@10"] <= most["nDCG@10"] + 1e-9
    assert 0 <= told["R@1"] <= told["R@5"] <= told["R@10"] <= 1


def test_each_video_counts_once_by_its_best_copy_and_all_its_queries() -> None:
    pool = pool_of(
        [[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.3, 0.2, 0.8]], ["a", "a", "b"], ["q", "r", "q"]
    )
    judged, scores = without_copies(pool)
    assert judged == {"q": {"a": 1, "b": 1}, "r": {"a": 1}}
    assert scores["r"] == pytest.approx({"a": 0.9, "b": 0.5})
    assert with_copies(pool)["1"] == {"0": 1, "1": 1}
    assert with_copies(pool)["2"] == {"0": 1, "1": 1, "2": 1}


# The command


def figures(text: str) -> dict[str, list[float]]:
    """The lines of the table by their beginning."""
    lines = [line for line in text.splitlines() if line.rstrip().endswith(tuple("0123456789"))]
    found = {}
    for line in lines:
        words = line.rsplit(maxsplit=4)
        if len(words) == 5 and all("." in word for word in words[1:]):
            found[words[0].strip()] = [float(word) for word in words[1:]]
    return found


def test_command_prints_both_metrics_and_the_ceiling_of_the_same_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = ["a", "a", "b", "b"]
    perfect = [[float(asked == video) + 0.5 for video in videos] for asked in videos]
    path = tmp_path / "scores.npz"
    save_pool(path, pool_of(perfect, videos))
    main([str(path)])
    shown = figures(capsys.readouterr().out)
    told = next(line for name, line in shown.items() if name.startswith("released"))
    most = shown["ceiling of this pool"]
    assert told[0] == most[0] == pytest.approx(100 * (1 + 1 / np.log2(3)) / 2, abs=0.01)
    assert most[1:] == [50.0, 100.0, 100.0]
    assert shown["share of the ceiling"][0] == 100.0
    rest = {name: line for name, line in shown.items() if name.startswith("ours")}
    assert len(rest) == 6
    against = next(v for k, v in rest.items() if "each video once, ties against" in k)
    assert against == [100.0] * 4


def write_run(folder: Path, split: str = "train-2.0++released", **changes: object) -> Path:
    """A run over three rows, of which two are of one video, that found two rows for each."""
    rows = (("row-0000", "a", "q"), ("row-0001", "a", "r"), ("row-0002", "b", "q"))
    found = (("row-0000", "row-0001"), ("row-0002", "row-0000"), ("row-0002", "row-0001"))
    header = RetrievalHeader(
        **{
            "benchmark": "multivent",
            "options": {},
            "split": split,
            "source": "x",
            "arm": "mini",
            "arm_details": "",
            "pool": "p",
            "num_candidates": 3,
            "num_queries": 3,
            "missing_videos": (),
            "num_unanswerable": 0,
            "depth": 10,
            "limit": None,
            "shard": None,
            "commit": "c",
            "machine": "m",
        }
        | changes
    )
    index = IndexTiming(seconds=1, num_bytes=1, num_clips=3, video_hours=1)
    begin_retrieval_run(folder, header, index)
    with rankings_file(folder) as file:
        for number, ((name, video, query), names) in enumerate(zip(rows, found, strict=True)):
            candidates = [
                FoundCandidate(candidate_id=candidate, score=0.9, modality=None)
                for candidate in names
            ]
            file.append(
                RankingRecord(
                    number=number,
                    query_id=f"{name}:{query}",
                    text="?",
                    cluster=video,
                    gold_modality=None,
                    groups={},
                    relevant={name: 1},
                    found=tuple(candidates),
                    timing=RankingTiming(latency_seconds=0.1),
                )
            )
    return folder


def test_command_reads_a_run_of_the_released_protocol(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load_retrieval_run(write_run(tmp_path / "run"))
    pool = run_pool(run)
    assert (pool.video_ids, pool.query_ids) == (("a", "a", "b"), ("q", "r", "q"))
    kept = np.isfinite(pool.scores)
    assert kept.tolist() == [[True, True, False], [True, False, True], [False, True, True]]
    # Rows 0 and 2 are right and tie with a wrong one; row 1 was not found and comes last.
    expected = (2 * (1 + 1 / np.log2(3)) / 2 + 0.5) / 3
    assert released(pool)["nDCG@10"] == pytest.approx(expected)
    main([str(tmp_path / "run")])
    assert "3 query rows (2 queries) x 3 pool rows (2 videos)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "train-2.0++deduplicated"}, "2.0..deduplicated.*allowed: protocol"),
        ({"num_queries": 4}, "3 of 4"),
        ({"limit": 3}, "limit 3"),
        ({"depth": 9}, "kept 9"),
    ],
)
def test_command_refuses_a_run_that_is_not_the_whole_of_the_released_protocol(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    run = load_retrieval_run(write_run(tmp_path / "run", **changes))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        run_pool(run)


def test_command_draws_the_same_pool_again_and_saves_what_it_reads_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "drawn.npz"
    save_pool(path, synthetic_pool(noise=0.2, seed=3))
    again, other = synthetic_pool(noise=0.2, seed=3), synthetic_pool(noise=0.2, seed=4)
    read = read_pool(path)
    assert np.array_equal(read.scores, again.scores)
    assert (read.video_ids, read.query_ids) == (again.video_ids, again.query_ids)
    assert not np.array_equal(read.scores, other.scores)
    assert len(set(read.video_ids)) == 414
    assert len(set(read.query_ids)) == 1361


def test_command_line_runs_from_the_checkout(tmp_path: Path) -> None:
    save_pool(tmp_path / "scores.npz", pool_of([[0.5, 0.5], [0.2, 0.9]], ["a", "b"]))
    run = subprocess.run(
        [sys.executable, "-m", "eval.released_metric", str(tmp_path / "scores.npz")],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        cwd=Path(__file__).parents[1],
    )
    assert "2 query rows (2 queries) x 2 pool rows (2 videos)" in run.stdout
    assert figures(run.stdout)["ceiling of this pool"] == [100.0] * 4


def test_a_perfect_retriever_on_a_pool_of_the_published_shape() -> None:
    pool = synthetic_pool(noise=0)
    told, most = released(pool), ceiling(pool)
    assert most["R@1"] == pytest.approx(414 / 1504)
    # Two videos of a query cannot both come first, and every copy but one is wrong.
    assert 0.60 < told["nDCG@10"] <= most["nDCG@10"] < 0.6616


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"video_ids": np.array(["a"])}, "'scores'"),
        ({"scores": np.zeros((2, 2), np.float32), "video_ids": np.array(["a"])}, "n by n"),
        ({"scores": np.zeros((1, 2), np.float32), "video_ids": np.array(["a"])}, "n by n"),
        ({"scores": np.zeros((1, 1), np.int64), "video_ids": np.array(["a"])}, "int64"),
        ({"scores": np.zeros((1, 1)), "video_ids": np.array([7])}, "video_ids"),
        ({"scores": np.full((1, 1), np.nan), "video_ids": np.array(["a"])}, "NaN"),
        (
            {
                "scores": np.zeros((1, 1)),
                "video_ids": np.array(["a"]),
                "query_ids": np.array(["q", "r"]),
            },
            "2 queries",
        ),
        ({"scores": np.zeros((1, 1)), "video_ids": np.array(["a"], dtype=object)}, "objects"),
    ],
)
def test_command_refuses_arrays_that_do_not_fit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arrays: dict[str, np.ndarray],
    message: str,
) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=message):
        read_pool(path)
    with pytest.raises(SystemExit) as raised:
        main([str(path)])
    assert raised.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--synthetic", "x.npz"],
        ["x.npz", "--noise", "1"],
        ["x.npz", "--save", "y.npz"],
        ["nowhere.npz"],
        ["--synthetic", "--noise", "-1"],
        ["--synthetic", "--noise", "nan"],
    ],
)
def test_command_refuses_arguments_that_do_not_go_together(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UsageError, match=r"scores\.npz"):
        read_pool(path)
    np.save(tmp_path / "scores.npy", np.zeros((2, 2)))
    with pytest.raises(UsageError, match=r"scores\.npy.*'scores'"):
        read_pool(tmp_path / "scores.npy")


def test_table_names_how_many_queries_hang_on_ties() -> None:
    text = table(pool_of([[0.5, 0.5], [0.2, 0.9]], ["a", "b"]))
    assert "ours, diagonal, ties against (1 of 2 queries tied)" in text
