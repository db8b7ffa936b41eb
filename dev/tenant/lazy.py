"""Bytes that are made when they are looked at, so that an attachment of 100 MB costs nothing until it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase

PIECE = 1 << 16


class Repeated:
    """As many bytes as asked for, a pattern over and over. Takes the place of `bytes` in an attachment's content:
    it has a length, slices are bytes, and `bytes(it)` is all of it."""

    __slots__ = ("_pattern", "_size")

    def __init__(self, size: int, pattern: bytes = b"0123456789abcdef") -> None:
        if size < 0 or not pattern:
            raise ValueError(f"There are no {size} bytes of the pattern {pattern!r}.")
        self._size = size
        self._pattern = pattern

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, step = part.indices(self._size)
        if step != 1:
            raise ValueError("Only whole stretches can be cut out.")
        if stop <= start:
            return b""
        width = len(self._pattern)
        skipped = start % width
        times = -(-(skipped + stop - start) // width)
        return (self._pattern * times)[skipped : skipped + stop - start]

    def __bytes__(self) -> bytes:
        return self[:]


Bytes = bytes | Repeated


def pieces(body: Bytes) -> Iterator[bytes]:
    """A body in pieces small enough to hold."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


class Reader(RawIOBase):
    """A body as a file; with `breaks` the read after that many bytes fails like a connection that was reset."""

    def __init__(self, body: Bytes, breaks: int | None = None) -> None:
        super().__init__()
        self._body = body
        self._at = 0
        self._breaks = breaks

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, all that are left for a negative size."""
        end = len(self._body) if size is None or size < 0 else self._at + size
        if self._breaks is not None:
            if self._at >= self._breaks:
                raise ConnectionResetError(f"The connection was reset after {self._breaks} bytes.")
            end = min(end, self._breaks)
        piece = self._body[self._at : end]
        self._at += len(piece)
        return piece
