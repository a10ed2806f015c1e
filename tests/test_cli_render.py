from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_values import PATH, make_answer, make_clip, make_record

from clamr_rag.cli.render import answer_lines, clip_lines, clock, info_lines, span_text, video_lines
from clamr_rag.media.values import AudioTrack, Chapter, MediaInfo, VideoTrack
from clamr_rag.types import Answer, TimeSpan

RECORDS = {"a" * 16: make_record()}


def lines(answer: Answer, *, show_all: bool = False, reads_frames: bool = True) -> list[str]:
    shown = answer_lines(answer, RECORDS, reads_frames=reads_frames, show_all=show_all)
    return [line.plain for line in shown]


def test_an_answer_reads_as_in_the_readme() -> None:
    assert lines(make_answer()) == [
        "encoder mini · speech from lecture.en.srt · screen text rapidocr · answered by extractive",
        "Q3 revenue is $4.2M [1].",
        '  [1] 00:12:31-00:12:52  on screen  0.82   "Q3 results"',
        "3 weaker moments hidden (--all) · mpv --start=751 /films/lecture.mp4",
    ]


def test_an_encoder_that_does_not_look_at_the_pictures_is_said_to_be_so() -> None:
    assert lines(make_answer(), reads_frames=False)[0].endswith(
        "mini does not look at the pictures"
    )


def test_what_pictures_an_encoder_was_taught_is_said() -> None:
    def end(encoder: str) -> str:
        answer = replace(make_answer(), encoder=encoder)
        return answer_lines(answer, RECORDS, reads_frames=True, show_all=False)[0].plain

    assert end("mini-vl").endswith(
        "mini-vl was taught drawings and knows little of filmed pictures"
    )
    assert "drawings" not in end("clamr")


def test_where_an_encoder_other_than_mini_runs_is_said() -> None:
    def header(encoder: str) -> str:
        answer = replace(make_answer(), encoder=encoder)
        where = "cuda:0, bfloat16, attention sdpa"
        return answer_lines(answer, RECORDS, reads_frames=True, show_all=False, running_on=where)[
            0
        ].plain

    assert header("clamr").startswith("encoder clamr (cuda:0, bfloat16, attention sdpa) · speech")
    assert header("mini").startswith("encoder mini · speech")


def test_all_shows_the_weaker_moments_and_hides_nothing() -> None:
    shown = lines(make_answer(), show_all=True)
    assert len(shown) == 2 + 1 + 3 + 1
    assert shown[3].startswith("    2 00:12:31-00:12:53  on screen  0.82")
    assert "hidden" not in shown[-1]


def test_one_weaker_moment_is_not_plural() -> None:
    assert lines(make_answer(num_clips=2))[-1].startswith("1 weaker moment hidden")


def test_several_videos_are_named() -> None:
    answer = make_answer(texts=("one", "two"), paths=(PATH, "/films/other talk.mp4"))
    first, second = lines(answer)[2:4]
    assert first.startswith("  [1] lecture.mp4  00:12:31")
    assert second.startswith("  [2] other talk.mp4  00:12:31")


def test_an_abstention_shows_no_evidence_but_counts_what_was_found() -> None:
    assert lines(make_answer(abstained=True))[1:] == [
        "The videos do not seem to tell.",
        "4 weaker moments hidden (--all)",
    ]


def test_sources_of_several_videos_are_told_once_each() -> None:
    records = {
        f"{n:016}": make_record(video_id=f"{n:016}", speech_source=source)
        for n, source in enumerate(["a.srt", "b.srt", "c.srt", "a.srt"])
    }
    answer = make_answer(num_clips=4)
    clips = [
        replace(clip, video=record.video)
        for clip, record in zip(answer.clips, records.values(), strict=True)
    ]
    answer = replace(answer, citations=(), clips=tuple(clips))
    header = answer_lines(answer, records, reads_frames=True, show_all=False)[0].plain
    assert "speech from a.srt, b.srt and 1 more" in header


def test_missing_speech_is_said() -> None:
    records = {"a" * 16: make_record(speech_source="none (no sound)")}
    header = answer_lines(make_answer(), records, reads_frames=True, show_all=False)[0].plain
    assert "· speech none (no sound) ·" in header


def test_a_quote_of_pictures_has_no_text() -> None:
    assert lines(make_answer(texts=(None,)))[2] == "  [1] 00:12:31-00:12:52  on screen  0.82"


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/films/a b.mp4", "mpv --start=751 '/films/a b.mp4'"),
        ("/films/$(rm -rf ~).mp4", "mpv --start=751 '/films/$(rm -rf ~).mp4'"),
        ("/films/it's.mp4", "mpv --start=751 '/films/it'\"'\"'s.mp4'"),
        ("/films/\x1b[2J.mp4", ""),
        ("/films/\u202efdp.mp4", ""),
    ],
)
def test_the_play_command_can_be_pasted_or_is_left_out(path: str, command: str) -> None:
    last = lines(make_answer(paths=(path,), num_clips=1))[-1]
    assert last == command or (not command and "mpv" not in last)


def test_the_play_command_is_short_for_a_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lines(make_answer(paths=(str(tmp_path / "a.mp4"),)))[-1].endswith("--start=751 a.mp4")
    dashed = str(tmp_path / "-a.mp4")
    assert lines(make_answer(paths=(dashed,)))[-1].endswith(f"--start=751 {dashed}")


def test_hostile_text_is_neutralised_wherever_it_is_shown() -> None:
    bad = "x\x1b[31m\u202e\nerror: y"
    answer = make_answer(texts=(bad,), paths=(f"/f/{bad}.mp4", "/f/other.mp4"))
    record = make_record(f"/f/{bad}.mp4", error=bad, speech_source=bad)
    info = MediaInfo("mp4", 1.0, 5, None, chapters=(Chapter(bad, TimeSpan(0, 1)),), tags={bad: bad})
    shown = [
        *answer_lines(
            replace(answer, text=bad), {"a" * 16: record}, reads_frames=True, show_all=True
        ),
        *clip_lines([make_clip(text=bad)]),
        *video_lines([record]),
        *info_lines(record, info),
    ]
    for line in shown:
        assert not set(line.plain) & set("\x1b\u202e\n"), line.plain


def test_a_found_moment_quotes_the_modality_that_it_names_or_nothing() -> None:
    """The best word of all points at speech, but the moment is said to be on screen."""
    assert '"Q3 results"' in clip_lines([make_clip()])[0].plain
    assert clip_lines([make_clip(text=None)])[0].plain.endswith("on screen  0.82")


def test_clock_and_span() -> None:
    assert clock(3661.9) == "01:01:01"
    assert clock(360_000) == "100:00:00"
    assert span_text(TimeSpan(1.9, 2.1)) == "00:00:01-00:00:03"


def test_info_tells_what_the_file_holds() -> None:
    info = MediaInfo(
        "matroska,webm", 61.0, 2_500_000, VideoTrack("h264", 720, 1280, 90, 25.0),
        audio_tracks=(AudioTrack(0, "aac", "en", True), AudioTrack(1, "opus", None, False)),
    )  # fmt: skip
    shown = [line.plain for line in info_lines(None, info)]
    assert shown[0].split() == ["status", "not", "in", "the", "library"]
    assert any("h264 720x1280, turned 90°, 25 fps" in line for line in shown)
    assert any("aac en; opus" in line for line in shown)


def test_a_failed_video_says_why_in_the_list() -> None:
    record = make_record(status="failed", error="the decoder died")
    assert "the decoder died" in video_lines([record])[0].plain
