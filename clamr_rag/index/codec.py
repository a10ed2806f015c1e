"""Multi-vectors as bytes: int8 with a scale per row, or fp16, each with a checksum.

Layout, little-endian, version 1::

    4 s   magic "CRmv"        u8  version       u8  codec (1 int8, 2 fp16)
    u16   dim                 u32 n
    float32 (n,) scales       only for int8
    int8 or float16 (n, dim)  rows
    u8 (n,) modalities
    float32 (n,) seconds
    u32   CRC32 of the key and of all bytes before

The key (the clip's id) goes into the checksum, so that a blob under another clip's name is damage.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from clamr_rag.errors import LibraryDamagedError, LibraryVersionError
from clamr_rag.scoring import CodeArray, quantise
from clamr_rag.types import ByteArray, FloatArray, Modality, MultiVector

CodecName = Literal["int8", "fp16"]

VERSION = 1
_MAGIC = b"CRmv"
_HEADER = struct.Struct("<4sBBHI")
_CHECKSUM = struct.Struct("<I")
_INT8, _FP16 = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """A multi-vector in its stored form."""

    rows: CodeArray | npt.NDArray[np.float16]
    """``(n, dim)``."""
    scales: FloatArray | None
    """Factor of each int8 row ``(n,)``; None for fp16."""
    modalities: ByteArray
    """``(n,)``."""
    seconds: FloatArray
    """``(n,)``, NaN where a row has none."""

    def multi_vector(self) -> MultiVector:
        """The rows as float32."""
        rows = self.rows.astype(np.float32)
        if self.scales is not None:
            rows *= self.scales[:, None]
        return MultiVector(rows, self.modalities, self.seconds)


def encode(vectors: MultiVector, codec: CodecName, *, key: str = "") -> bytes:
    """Returns the stored form of ``(n, dim)`` rows, dim at most 65535."""
    n, dim = vectors.vectors.shape
    scales: FloatArray = np.empty(0, np.float32)
    rows: CodeArray | npt.NDArray[np.float16] = vectors.vectors.astype("<f2")
    if codec == "int8":
        rows, scales = quantise(vectors.vectors)
    body = b"".join(
        (
            _HEADER.pack(_MAGIC, VERSION, _INT8 if codec == "int8" else _FP16, dim, n),
            scales.astype("<f4").tobytes(),
            rows.tobytes(),
            vectors.modalities.tobytes(),
            vectors.seconds.astype("<f4").tobytes(),
        )
    )
    return body + _CHECKSUM.pack(_checksum(body, key))


def decode(blob: bytes, *, key: str = "") -> StoredVectors:
    """Reads what `encode` wrote, after checking every byte of it.

    Raises:
        LibraryDamagedError: A byte is not what was written, or the key is another one.
        LibraryVersionError: Written by a later version of this package.
    """
    body = memoryview(blob)[: -_CHECKSUM.size]
    if len(body) < _HEADER.size or _CHECKSUM.pack(_checksum(body, key)) != blob[len(body) :]:
        raise damaged(
            f"vectors of clip {key!r}", f"{len(blob)} bytes that do not match their checksum"
        )
    magic, version, codec, dim, n = _HEADER.unpack_from(body)
    if version > VERSION:
        raise LibraryVersionError(
            f"got vectors of format {version} for clip {key!r}",
            allowed=f"up to {VERSION}",
            hint="update clamr-rag, or index the video again with this version",
        )
    width = {_INT8: dim + 4, _FP16: 2 * dim}.get(codec)
    if magic != _MAGIC or width is None or len(body) != _HEADER.size + n * (width + 5):
        raise damaged(f"vectors of clip {key!r}", f"{len(blob)} bytes of an unknown layout")
    stored = _split(body, codec, n, dim)
    if stored.modalities.max(initial=0) >= len(Modality):
        raise damaged(f"vectors of clip {key!r}", f"modality {stored.modalities.max()}")
    return stored


def _split(body: memoryview, codec: int, n: int, dim: int) -> StoredVectors:
    at = _HEADER.size
    scales = None
    if codec == _INT8:
        scales = np.frombuffer(body, "<f4", n, at).astype(np.float32, copy=False)
        at += 4 * n
    row_type = np.dtype("i1" if codec == _INT8 else "<f2")
    rows = np.frombuffer(body, row_type, n * dim, at).reshape(n, dim)
    at += n * dim * row_type.itemsize
    modalities = np.frombuffer(body, np.uint8, n, at)
    seconds = np.frombuffer(body, "<f4", n, at + n).astype(np.float32, copy=False)
    return StoredVectors(rows, scales, modalities, seconds)


def _checksum(body: bytes | memoryview, key: str) -> int:
    return zlib.crc32(body, zlib.crc32(key.encode("utf-8", "surrogatepass")))


def damaged(where: str, what: str) -> LibraryDamagedError:
    """The error for vectors that cannot be trusted."""
    return LibraryDamagedError(
        f"{where}: {what}",
        hint="run clamr-rag verify; removing and indexing the video again repairs it",
    )
