"""The commands against a real library."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import COMMAND, Run, clamr, environment
from conftest import Talk
from test_cli_json import ASK, CLIP, check_clip, strict

from clamr_rag import VideoLibrary
from clamr_rag.cli.doctor import FFMPEG_FLOOR, disk_finding, ffmpeg_finding, weights_finding

Runner = Callable[..., Run]


@pytest.fixture
def own_library(talk: Talk, tmp_path: Path) -> Path:
    """A copy of the library that a test may change."""
    return Path(shutil.copytree(talk.library, tmp_path / "own"))


# --- ask and search


def test_ask_answers_with_a_citation(talk: Talk, run_here: Runner) -> None:
    told = run_here("ask", "--library", talk.library, talk.video, "How much revenue was made?")
    assert told.code == 0, told.err
    first, answer, evidence = told.out.splitlines()[:3]
    assert first.startswith(
        "encoder mini · speech from subtitle track 1 (en) · screen text rapidocr"
    )
    assert "mini does not look at the pictures" in first
    assert "$4.2M" in answer
    assert "[1]" in answer
    assert evidence.startswith("  [1] 00:00:")
    assert "on screen" in evidence
    assert told.err == ""


def test_ask_as_json_keeps_the_contract(talk: Talk, run_here: Runner) -> None:
    told = run_here("ask", "--json", "--library", talk.library, "Why did churn fall?")
    answer = strict(told.out)
    assert set(answer) == ASK
    assert "onboarding" in answer["answer"]
    assert answer["citations"][0]["modality"] == "asr"
    assert answer["citations"][0]["video_path"] == str(talk.video)
    assert answer["clips"]
    for clip in answer["clips"]:
        check_clip(clip)


def test_ask_of_something_else_is_declined(talk: Talk, run_here: Runner) -> None:
    question = "Who won the chess tournament in Reykjavik?"
    told = run_here("ask", "--json", "--library", talk.library, question)
    assert told.code == 0
    assert told.json["abstained"] is True
    assert run_here("ask", "--fail-if-empty", "--library", talk.library, question).code == 5
    assert run_here("--fail-if-empty", "ask", "--library", talk.library, question).code == 5


def test_choices_are_answered_by_letter(talk: Talk, run_here: Runner) -> None:
    told = run_here(
        "ask", "--json", "--library", talk.library, "Why did churn fall?",
        "--choice", "the weather", "--choice", "the new onboarding",
    )  # fmt: skip
    assert told.json["choice"] == "B"


@pytest.mark.parametrize("choices", [["--choice", "one"], ["--choice", "a", "--choice", " "]])
def test_choices_that_are_none(choices: list[str], talk: Talk, run_here: Runner) -> None:
    told = run_here("ask", "--library", talk.library, "Why?", *choices)
    assert told.code == 2
    assert "2 to 26" in told.err


def test_search_finds_moments(talk: Talk, run_here: Runner) -> None:
    told = run_here("search", "--json", "--top-k", "1", "--library", talk.library, "revenue")
    assert [set(clip) for clip in told.json["clips"]] == [CLIP]
    text = run_here("search", "--library", talk.library, "revenue").out
    assert text.splitlines()[0].startswith("    1 00:00:")


@pytest.mark.parametrize("reference", ["talk.mp4", "id"])
def test_a_video_of_the_library_is_known_by_name_and_by_the_start_of_its_id(
    reference: str, talk: Talk, run_here: Runner
) -> None:
    with VideoLibrary.open(talk.library) as library:
        video_id = library.videos()[0].video.video_id
    word = video_id[:6] if reference == "id" else reference
    told = run_here("search", "--json", "--library", talk.library, word, "revenue")
    assert {clip["video_id"] for clip in told.json["clips"]} == {video_id}


def test_asking_indexes_once_and_then_never_again(talk: Talk, tmp_path: Path) -> None:
    """As processes: the second one finds everything done."""
    arguments = ("ask", "--ocr", "none", talk.video, "Why did churn fall?")
    first = clamr(*arguments, home=tmp_path)
    assert first.code == 0, first.err
    assert "talk.mp4: indexed" in first.err
    assert "1/3 speech" in first.err
    second = clamr(*arguments, home=tmp_path)
    assert (second.code, second.err) == (0, "")
    assert second.out == first.out


def test_words_without_a_question(talk: Talk, run_here: Runner) -> None:
    for words in (["  "], [talk.video, ""], [talk.video, "\n\t"]):
        told = run_here("ask", *words)
        assert told.code == 2
        assert "blank question" in told.err
    told = run_here("ask", talk.video)
    assert told.code == 2
    assert "no question" in told.err


def test_asking_an_empty_or_missing_library(tmp_path: Path, run_here: Runner) -> None:
    told = run_here("ask", "Why did churn fall?")
    assert (told.code, told.out) == (2, "")
    assert "no library" in told.err
    VideoLibrary.open(tmp_path / "empty").close()
    told = run_here("ask", "--library", tmp_path / "empty", "Why did churn fall?")
    assert told.code == 2
    assert "holds no videos" in told.err


@pytest.mark.parametrize(("word", "code"), [("deadbeef", 2), ("no.mp4", 4), ("concat:a|b", 4)])
def test_a_video_that_is_nowhere(word: str, code: int, talk: Talk, run_here: Runner) -> None:
    told = run_here("ask", "--library", talk.library, word, "Why did churn fall?")
    assert told.code == code
    assert len(told.errors) == 1
    assert run_here("ask", word, "Why?").code == code


# --- index


def test_index_goes_on_after_a_failure_and_sums_up(
    talk: Talk, own_library: Path, tmp_path: Path, run_here: Runner
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    paths = [tmp_path / "empty.mp4", tmp_path / "text.mp4", talk.video]
    told = run_here("index", "--library", own_library, *paths)
    assert told.code == 3
    assert "unchanged" in told.out
    assert len(told.errors) == 2
    assert "1 video in the library, 2 failed" in told.err
    stopped = run_here("index", "--library", own_library, "--abort-on-error", "--json", *paths)
    assert stopped.code == 3
    assert [video["status"] for video in stopped.json["videos"]] == ["failed"]
    alone = run_here("index", "--library", own_library, tmp_path / "text.mp4")
    assert alone.code == 4


def test_index_as_json(talk: Talk, own_library: Path, run_here: Runner) -> None:
    told = run_here("index", "--json", "--library", own_library, talk.video)
    (video,) = told.json["videos"]
    assert video["status"] == "unchanged"
    assert video["path"] == str(talk.video)
    assert video["clips"] >= 1
    assert video["error"] is None
    forced = run_here("index", "--json", "--force", "--library", own_library, talk.video)
    assert forced.json["videos"][0]["status"] == "indexed"


def test_index_says_with_what_it_reads(
    talk: Talk, own_library: Path, tmp_path: Path, run_here: Runner
) -> None:
    forced = run_here("index", "--force", "--library", own_library, talk.video)
    assert forced.err.splitlines()[0] == "encoder mini on cpu, float32"
    assert forced.err.count("encoder mini") == 1
    for command in (("index", talk.video), ("search", "revenue"), ("ask", "Why did churn fall?")):
        told = run_here(command[0], "--json", "--library", own_library, *command[1:]).json
        assert (told["encoder"], told["running_on"]) == ("mini", "cpu, float32")
    (tmp_path / "empty.mp4").touch()
    failed = run_here("index", "--json", "--library", own_library, tmp_path / "empty.mp4").json
    assert failed["encoder"] is failed["running_on"] is None, "nothing was loaded"


def test_another_way_of_pooling_makes_the_vectors_anew(
    talk: Talk, own_library: Path, run_here: Runner
) -> None:
    few = ("--set", "index.vectors_per_clip=5", "--library", own_library, talk.video)
    first = run_here("index", "--json", *few)
    other = run_here("index", "--json", "--set", "index.pooling=kmeans", *few)
    again = run_here("index", "--json", "--set", "index.pooling=kmeans", *few)
    found = [told.json["videos"][0]["status"] for told in (first, other, again)]
    assert found == ["indexed", "indexed", "unchanged"]
    wrong = run_here("index", "--set", "index.pooling=median", *few)
    assert wrong.code == 2
    assert "hierarchical" in wrong.err
    assert "kmeans" in wrong.err


def test_index_of_a_renamed_copy_is_no_work(
    talk: Talk, own_library: Path, tmp_path: Path, run_here: Runner
) -> None:
    copy = tmp_path / "renamed.mp4"
    shutil.copy(talk.video, copy)
    told = run_here("index", "--json", "--library", own_library, copy)
    assert told.json["videos"][0]["status"] == "unchanged"
    assert len(json.loads(run_here("ls", "--json", "--library", own_library).out)["videos"]) == 1


def test_a_list_on_stdin(talk: Talk, own_library: Path, tmp_path: Path) -> None:
    told = clamr(
        "index", "--json", "--library", own_library, "-", home=tmp_path, stdin=f"{talk.video}\n"
    )
    assert told.code == 0
    assert told.json["videos"][0]["status"] == "unchanged"


def test_a_name_on_stdin_may_be_any_bytes(talk: Talk, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(talk.video, tmp_path / name)
    told = clamr("index", "--dry-run", "--json", "-", home=tmp_path, stdin=f"{name}\n")
    assert told.code == 0, told.err
    assert told.json["videos"][0]["path"] == name


def test_dry_run_tells_and_does_nothing(talk: Talk, tmp_path: Path, run_here: Runner) -> None:
    told = run_here("index", "--dry-run", talk.video)
    assert told.code == 0
    assert told.out.startswith("index")
    assert not (tmp_path / "data").exists()
    known = run_here("index", "--dry-run", "--json", "--library", talk.library, talk.video)
    assert known.json["videos"][0]["action"] == "unchanged"
    missing = run_here("index", "--dry-run", "no.mp4")
    assert missing.code == 4


def test_a_folder_needs_r(talk: Talk, own_library: Path, run_here: Runner) -> None:
    told = run_here("index", "--library", own_library, talk.video.parent)
    assert told.code == 4
    assert "-r" in told.err
    walked = run_here("index", "--json", "-r", "--library", own_library, talk.video.parent)
    assert [video["status"] for video in walked.json["videos"]] == ["unchanged"]
    none = run_here("index", "-r", "--ext", "avi", "--library", own_library, talk.video.parent)
    assert none.code == 2


# --- ls, info, rm, verify


def test_ls_and_info(talk: Talk, run_here: Runner) -> None:
    told = run_here("ls", "--library", talk.library)
    assert "Northwind review" in told.out
    assert str(talk.video) in told.out
    shown = run_here("info", "--library", talk.library, talk.video).out
    for fact in ("subtitle track 1 (en)", "rapidocr", "h264 640x360", "The people", "indexed"):
        assert fact in shown
    assert set(run_here("info", "--json", "--library", talk.library, "talk.mp4").json) == {
        "schema_version", "path", "library", "file",
    }  # fmt: skip


def test_info_of_a_file_that_is_in_no_library(talk: Talk, run_here: Runner) -> None:
    told = run_here("info", talk.video)
    assert told.code == 0
    assert "not in the library" in told.out
    assert "h264 640x360" in told.out
    assert run_here("info", "no.mp4").code == 4
    assert run_here("info", "--library", talk.library, "no.mp4").code == 4


def test_rm_asks_where_it_can_and_refuses_where_it_cannot(
    own_library: Path, tmp_path: Path
) -> None:
    refused = clamr("rm", "--library", own_library, "talk.mp4", home=tmp_path)
    assert refused.code == 2
    assert "-y" in refused.err
    assert _answer_rm(b"n\n", own_library, tmp_path) == 2
    assert _answer_rm(b"y\n", own_library, tmp_path) == 0
    assert "empty" in clamr("ls", "--library", own_library, home=tmp_path).err


def _answer_rm(answer: bytes, library: Path, home: Path) -> int:
    """Types an answer on a pseudo-terminal."""
    leader, follower = pty.openpty()
    os.write(leader, answer)
    process = subprocess.run(
        [*COMMAND, "rm", "--library", library, "talk.mp4"],
        env=environment(home), stdin=follower, capture_output=True, timeout=60,
    )  # fmt: skip
    os.close(follower)
    os.close(leader)
    return process.returncode


def test_rm_removes_videos_and_leaves_files(
    talk: Talk, own_library: Path, run_here: Runner
) -> None:
    told = run_here("rm", "-y", "--json", "--library", own_library, "talk.mp4")
    assert len(told.json["removed"]) == 1
    assert talk.video.exists()
    assert run_here("ls", "--json", "--library", own_library).json["videos"] == []
    assert run_here("rm", "-y", "--library", own_library, "talk.mp4").code == 2


def test_rm_missing_removes_only_what_is_gone(
    talk: Talk, own_library: Path, tmp_path: Path, run_here: Runner
) -> None:
    assert (
        run_here("rm", "--missing", "-y", "--json", "--library", own_library).json["removed"] == []
    )
    moved = tmp_path / "moved.mp4"
    with VideoLibrary.open(own_library) as library:
        library.store.relink(library.videos()[0].video.video_id, str(moved))
    told = run_here("rm", "--missing", "-y", "--json", "--library", own_library)
    assert len(told.json["removed"]) == 1
    assert run_here("rm", "--library", own_library).code == 2
    assert run_here("rm", "--missing", "--library", own_library, "x").code == 2


def test_verify(talk: Talk, own_library: Path, run_here: Runner) -> None:
    told = run_here("verify", "--library", own_library)
    assert (told.code, told.out) == (0, "1 video, nothing wrong\n")
    assert run_here("verify", "--json", "--library", own_library).json["problems"] == []


# --- config


def test_config_show_tells_origins(
    tmp_path: Path, run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clamr-rag.toml").write_text("[search]\ntop_k = 7\n")
    monkeypatch.setenv("CLAMR_RAG_OCR__OCR", "none")
    told = run_here(
        "config", "show", "--origin", "--speech", "asr", "--set", "scan.interval_seconds=2"
    )
    rows = {line.split(" = ")[0]: line.split(" = ")[1].split() for line in told.out.splitlines()}
    assert rows["search.top_k"] == ["7", str(tmp_path / "clamr-rag.toml")]
    assert rows["ocr.ocr"] == ["'none'", "CLAMR_RAG_OCR__OCR"]
    assert rows["speech.speech"] == ["'asr'", "--speech"]
    assert rows["scan.interval_seconds"] == ["2.0", "--set"]
    assert rows["answer.answerer"] == ["'auto'", "default"]
    options = run_here("config", "show", "--json").json["options"]
    assert {
        "key": "search.top_k",
        "value": 7,
        "origin": str(tmp_path / "clamr-rag.toml"),
    } in options


def test_config_path(tmp_path: Path, run_here: Runner) -> None:
    paths = {p["name"]: p["path"] for p in run_here("config", "path", "--json").json["paths"]}
    assert paths["project"] == str(tmp_path / "clamr-rag.toml")
    assert paths["user"] == str(tmp_path / "config" / "clamr-rag" / "config.toml")
    assert paths["library"].startswith(str(tmp_path / "data"))


def test_a_bad_configuration_stops_every_command(tmp_path: Path, run_here: Runner) -> None:
    (tmp_path / "clamr-rag.toml").write_text("[ocr]\nocrr = 'none'\n")
    for command in (["config", "show"], ["ls"], ["ask", "what?"]):
        told = run_here(*command)
        assert told.code == 2
        assert "ocr.ocrr" in told.err
        assert "clamr-rag.toml" in told.err


def test_an_option_may_stand_before_or_after_the_command(talk: Talk, run_here: Runner) -> None:
    before = run_here("--library", talk.library, "--json", "ls")
    after = run_here("ls", "--library", talk.library, "--json")
    assert before.out == after.out
    both = run_here("--library", "/nowhere", "ls", "--library", talk.library, "--json")
    assert both.out == after.out


def test_a_log_file_that_cannot_be_written(run_here: Runner) -> None:
    told = run_here("ls", "--log-file", "/nowhere/x.log")
    assert told.code == 2
    assert "/nowhere/x.log" in told.err


def test_a_log_file_is_written(talk: Talk, tmp_path: Path, own_library: Path) -> None:
    log = tmp_path / "run.log"
    told = clamr("index", "--force", "--library", own_library, talk.video, "--log-file", log,
                 home=tmp_path)  # fmt: skip
    assert told.code == 0
    assert "DEBUG" not in told.err
    assert log.exists()


# --- doctor


def test_doctor_finds_all_parts(talk: Talk, run_here: Runner) -> None:
    told = run_here("doctor", "--json", "--library", talk.library)
    assert told.code == 0, told.out
    checks = {check["name"]: check for check in told.json["checks"]}
    assert set(checks) == {
        "clamr-rag", "packages", "FFmpeg", "mini", "screen text", "speech", "GPU", "disk",
        "library",
    }  # fmt: skip
    for name in ("FFmpeg", "mini", "screen text", "library"):
        assert checks[name]["status"] == "ok", checks[name]
    assert checks["library"]["found"].startswith("1 video in")


def test_doctor_tells_a_damaged_library(own_library: Path, run_here: Runner) -> None:
    (own_library / "clamr-rag.sqlite3").write_bytes(b"not a library" * 100)
    told = run_here("doctor", "--library", own_library)
    assert told.code == 8
    assert "problem" in told.out


@pytest.mark.parametrize(
    ("version", "status"),
    [("8.1.2", "ok"), ("8.1.1", "problem"), ("7.1", "problem"), ("n8.2", "ok"), ("9.0-dev", "ok"),
     ("8.1.10", "ok"), ("git-abcdef", "problem")],
)  # fmt: skip
def test_the_floor_of_ffmpeg(version: str, status: str) -> None:
    assert FFMPEG_FLOOR == (8, 1, 2)
    assert ffmpeg_finding(version).status == status


def test_weights_that_were_changed_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package with a RECORD as pip writes it, and a model file that is not the packed one."""
    package = tmp_path / "fakeocr-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: fakeocr\nVersion: 1.0\n")
    record = "fakeocr/m.onnx,sha256=LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564,3\n"
    (package / "RECORD").write_text(record)
    model = tmp_path / "fakeocr" / "m.onnx"
    model.parent.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    for content, status in ((b"foo", "ok"), (b"bar", "problem"), (None, "problem")):
        model.unlink(missing_ok=True)
        if content is not None:
            model.write_bytes(content)
        assert weights_finding("screen text", "fakeocr").status == status
    assert weights_finding("screen text", "no-such-package").exit_code == 6


def test_the_disk_is_looked_at_where_the_library_will_be(tmp_path: Path) -> None:
    assert str(tmp_path) in disk_finding(tmp_path / "not" / "yet").found


def test_a_call_that_cannot_be_right_indexes_nothing(
    talk: Talk, tmp_path: Path, run_here: Runner
) -> None:
    library = tmp_path / "library"
    calls = (
        (talk.video, "Why?", "--choice", "only one"),
        (talk.video, talk.video),
        (talk.video, "\u200b"),
    )
    for words in calls:
        told = run_here("ask", "--library", library, *words)
        assert told.code == 2, words
        assert len(told.errors) == 1
    assert not library.exists()


def test_a_library_at_an_impossible_place_is_one_line(tmp_path: Path, run_here: Runner) -> None:
    told = run_here("search", "--library", tmp_path / ("x" * 300), "anything")
    assert told.code == 8
    assert len(told.errors) == 1


def test_the_demo_as_json_is_one_object(tmp_path: Path) -> None:
    told = clamr("demo", "--json", home=tmp_path, timeout_seconds=300)
    assert told.code == 0, told.err
    assert [answer["abstained"] for answer in told.json["answers"]] == [False] * 3 + [True]
