"""Time stamps that can be relied on, whatever the file says: laws over made-up packet rows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import av.error
from hypothesis import given, settings
from hypothesis import strategies as st

from clamr_rag.media.child.packets import Packets

TICK = Fraction(1, 1000)


class Channel:
    """Takes the signs of life."""

    num_signs = 0

    def alive(self) -> None:
        self.num_signs += 1


class Container:
    """Gives out packets as a demuxer does; an error in the row is raised in its place."""

    def __init__(self, row: list[Any], name: str = "matroska,webm") -> None:
        self._row = iter(row)
        self.format = SimpleNamespace(name=name)
        self.streams: list[Any] = []

    def demux(self, *streams: Any) -> Iterator[av.Packet]:
        for item in self._row:
            if isinstance(item, Exception):
                raise item
            yield item


def packet(dts: int | None, pts: int | None = None, size: int = 3) -> av.Packet[Any]:
    made: av.Packet[Any] = av.Packet(b"x" * size) if size else av.Packet()
    made.time_base = TICK
    made.dts, made.pts, made.duration = dts, dts if pts is None else pts, 40
    return made


def read(row: list[Any], name: str = "matroska,webm") -> tuple[Packets, list[av.Packet[Any]]]:
    packets = Packets(Container(row, name), [], Channel())  # type: ignore[arg-type]
    return packets, list(packets)


def times(row: list[av.Packet[Any]]) -> list[int | None]:
    return [p.dts for p in row]


steady = st.integers(2, 30).map(lambda count: [n * 40 for n in range(count)])


@given(steady, st.integers(-(10**9), 10**9))
def test_sane_stamps_stay_as_they_are(row: list[int], start: int) -> None:
    packets, found = read([packet(start + stamp, start + stamp + 80) for stamp in row])
    assert times(found) == [start + stamp for stamp in row]
    assert [p.pts for p in found] == [start + stamp + 80 for stamp in row]
    assert not packets.spliced


@given(st.lists(st.integers(0, 40_000_000), min_size=1, max_size=20))
def test_long_pauses_are_kept(pauses: list[int]) -> None:
    stamps = [sum(pauses[: n + 1]) for n in range(len(pauses))]
    assert times(read([packet(stamp) for stamp in stamps])[1]) == stamps


@settings(max_examples=300)
@given(steady.filter(lambda row: len(row) > 4), st.data())
def test_one_damaged_stamp_harms_only_its_own_packet(row: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(row) - 2))
    lie = data.draw(st.integers(-(2**40), 2**40))
    told = [*row[:place], lie, *row[place + 1 :]]
    packets, found = read([packet(stamp) for stamp in told])
    others = times(found)[:place] + times(found)[place + 1 :]
    assert others == row[:place] + row[place + 1 :]
    assert not packets.spliced
    mended = found[place].dts
    assert mended is not None
    assert row[place - 1] - 1000 <= mended <= row[place - 1] + 1000


@given(steady, steady, st.integers(-(10**9), -2_000) | st.integers(10**8, 10**9))
def test_a_splice_goes_on_where_it_was(first: list[int], second: list[int], jump: int) -> None:
    row = first + [first[-1] + jump + stamp for stamp in second]
    packets, found = read([packet(stamp, stamp + 80) for stamp in row])
    start = first[-1] + 40
    assert times(found) == first + [start + stamp for stamp in second]
    assert [p.pts for p in found] == [
        first_dts + 80 for first_dts in times(found) if first_dts is not None
    ]
    assert packets.spliced


@given(st.integers(-(2**50), 2**50))
def test_a_display_time_far_from_the_decoding_time_is_not_believed(delay: int) -> None:
    (_, middle, _) = read([packet(0), packet(40, 40 + delay), packet(80)])[1]
    assert middle.pts == (40 + delay if -1000 <= delay <= 60_000 else 40)


def test_avi_has_no_display_times() -> None:
    assert [p.pts for p in read([packet(0, 1), packet(1, 3)], "avi")[1]] == [None, None]


def test_packets_without_stamps_pass() -> None:
    first, second = packet(40), packet(None)
    second.pts = None
    assert times(read([first, second, packet(120)])[1]) == [40, None, 120]


def test_empty_packets_are_left_out() -> None:
    assert times(read([packet(0), packet(40, size=0), packet(80)])[1]) == [0, 80]


def test_broken_reads_are_counted_and_passed_over() -> None:
    error = av.error.InvalidDataError(1, "broken")
    packets, found = read([packet(0), error, error, packet(40), error, packet(80)])
    assert times(found) == [0, 40, 80]
    assert packets.num_bad == 3


def test_endless_broken_reads_end() -> None:
    error = av.error.InvalidDataError(1, "broken")
    packets, found = read([packet(0), *[error] * 1000, packet(40)])
    assert times(found) == [0]
    assert packets.num_bad == 100


def test_after_a_jump_the_next_stamp_is_taken_as_it_is() -> None:
    packets = Packets(Container([packet(n * 40) for n in (0, 1, 90_000, 90_001)]), [], Channel())  # type: ignore[arg-type]
    source = iter(packets)
    assert [next(source).dts, next(source).dts] == [0, 40]
    packets.jumped()
    assert times(list(packets)) == [3_600_000, 3_600_040]
    assert not packets.spliced
