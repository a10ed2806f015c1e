"""What surrounds the clips found: other clips of their videos, and pictures at wanted seconds."""

from __future__ import annotations

from collections.abc import Sequence

from clamr_rag.config import MediaOptions
from clamr_rag.errors import MediaError
from clamr_rag.index.store import Store
from clamr_rag.media import checked_video_path, content_key, iter_frames
from clamr_rag.types import Clip, Frame, Video


class Footage:
    """Reads a library's clips, and the files that they were taken from."""

    def __init__(self, store: Store, options: MediaOptions) -> None:
        """Opens nothing yet."""
        self._store = store
        self._options = options

    def clips(self, video_id: str) -> tuple[Clip, ...]:
        """All clips of a video, in time order."""
        return self._store.clips(video_id)

    def frames(
        self, video: Video, seconds: Sequence[float], *, max_side: int | None = None
    ) -> tuple[Frame, ...]:
        """The pictures on show at these seconds, each with its own true time.

        Args:
            video: Of the library.
            seconds: In ascending order; those past the end of the pictures have none.
            max_side: Longest side of a picture in pixels.

        Raises:
            MediaError: The file is gone, is another one now, or cannot be decoded.
        """
        if not seconds:
            return ()
        path = checked_video_path(video.path)
        # Pictures of another file under the old name would be false evidence.
        if not content_key(path).startswith(video.video_id):
            raise MediaError(
                f"{video.path!r} has changed since it was indexed",
                hint="index it again from where it is now",
            )
        return tuple(iter_frames(path, seconds, self._options, max_side=max_side))


def even_seconds(start: float, stop: float, count: int) -> list[float]:
    """The middles of ``count`` equal parts of a span of seconds."""
    return [start + (part + 0.5) * (stop - start) / count for part in range(count)]
