"""The lines of a file of contacts, whatever it is handed in as and however it is encoded. Pure.

The file is never held a second time: bytes and texts are read piece by piece as lines are asked for.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

PIECE = 1024 * 1024

# Text, bytes, a stream of bytes that can be read twice, or lines of text with their line breaks, as a stream of text
# opened with newline="" gives them.
File = str | bytes | BinaryIO | Iterable[str]


def lines_of(file: File) -> Iterator[str]:
    """The lines of a file, each with its line break, which may be of any of the three kinds."""
    if isinstance(file, str):
        return _of_text(file)
    if isinstance(file, bytes):
        return _of_bytes(io.BytesIO(file))
    if isinstance(file, io.TextIOBase) or not hasattr(file, "seek"):
        return iter(file)
    return _of_bytes(cast("BinaryIO", file))


def decode(data: bytes) -> str:
    """The text of a short value."""
    return data.decode(_encoding(io.BytesIO(data)), "replace")


def _of_text(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start + PIECE) + 1 or len(text)  # behind a line break, never within one
        yield from io.StringIO(text[start:end], newline="")
        start = end


def _of_bytes(file: BinaryIO) -> Iterator[str]:
    start = file.tell()
    encoding = _encoding(file)
    file.seek(start)
    text = io.TextIOWrapper(file, encoding, "replace", newline="")
    try:
        yield from text
    finally:
        if not file.closed:
            text.detach()  # else it would close what is not ours


def _encoding(file: BinaryIO) -> str:
    """UTF-16 as its first bytes say (old phones leave out the mark of byte order), UTF-8, else what Outlook writes."""
    piece = file.read(PIECE)
    if piece[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if piece[1:2] == b"\0":
        return "utf-16-le"
    if piece[:1] == b"\0":
        return "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece:
            decoder.decode(piece)
            piece = file.read(PIECE)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8-sig"
