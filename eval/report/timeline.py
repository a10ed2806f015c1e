"""Where in its video the evidence lies, and where the clips that were found."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.numbers import clock
from eval.report.tables import html_text
from eval.run_records import QuestionRecord

_WIDTH, _ROW = 1000, 18
_MOST_CLIPS = 10


def timeline(record: QuestionRecord, durations: Mapping[str, float]) -> str:
    """A drawing per video that holds evidence: evidence above, the first clips found below.

    Args:
        record: Of the question.
        durations: Seconds of each video; a video without any has no drawing.
    """
    videos = dict.fromkeys(span.video_id for span in record.evidence)
    drawn = [_of_video(record, name, durations[name]) for name in videos if name in durations]
    return "".join(drawn)


def _of_video(record: QuestionRecord, video_id: str, duration_seconds: float) -> str:
    def box(start: float, stop: float, row: int, kind: str, label: str) -> str:
        left = _WIDTH * min(start / duration_seconds, 1.0)
        # A second of a long video is less than a dot.
        width = max(_WIDTH * (min(stop / duration_seconds, 1.0)) - left, 4.0)
        middle = min(max(left + width / 2, 8.0), _WIDTH - 8.0)
        text = f'<text x="{middle:.1f}" y="{(row + 2) * _ROW - 4}">{label}</text>' if label else ""
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{row * _ROW + 2}" width="{width:.1f}" '
            f'height="{_ROW - 4}" rx="2"/>{text}'
        )

    golds = [
        box(gold.start_seconds, gold.stop_seconds, 0, "gold", "")
        for gold in record.evidence
        if gold.video_id == video_id
    ]
    found = [
        box(clip.start_seconds, clip.stop_seconds, 1, "found", str(rank))
        for rank, clip in enumerate(record.found[:_MOST_CLIPS], start=1)
        if clip.video_id == video_id
    ]
    return (
        f'<figure class="timeline"><svg viewBox="0 0 {_WIDTH} {3 * _ROW}" role="img" '
        f'aria-label="evidence and clips found in the video">'
        f'<rect class="ground" width="{_WIDTH}" height="{3 * _ROW}" rx="3"/>'
        f"{''.join(golds)}{''.join(found)}</svg><figcaption>{html_text(video_id)}, "
        f"{clock(duration_seconds)} long: evidence above, clips found below, by rank"
        "</figcaption></figure>"
    )
