"""The lines of a file of contacts, in every form and encoding it is handed in."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.lines import PIECE, File, decode, lines_of

TEXT = "Name,Email\r\nJörg Größe,j@client.example\r\n"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "windows-1252"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_is_read_in_the_encodings_phones_and_office_programs_write(encoding: str, end: str) -> None:
    text = TEXT.replace("\r\n", end)

    assert "".join(lines_of(text.encode(encoding))) == text
    assert decode(text.encode(encoding)) == text


def test_a_file_is_the_same_as_text_as_bytes_as_a_stream_and_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(TEXT.encode())
    with path.open("rb") as stream, path.open(encoding="utf-8", newline="") as text, tempfile.TemporaryFile() as other:
        other.write(TEXT.encode())
        other.seek(0)
        files: list[File] = [TEXT, TEXT.encode(), stream, text, other, iter(TEXT.splitlines(keepends=True))]

        assert [list(lines_of(one)) for one in files] == [TEXT.splitlines(keepends=True)] * len(files)


def test_a_stream_is_read_from_where_it_stands_and_stays_open() -> None:
    stream = io.BytesIO(b"what came before" + TEXT.encode())
    stream.seek(16)

    assert "".join(lines_of(stream)) == TEXT
    assert not stream.closed


def test_one_letter_of_windows_far_behind_decides_for_the_whole_file() -> None:
    data = b"\xc3\xb6\n" + b"x" * PIECE + b"\n\xf6\n"

    assert next(lines_of(data)) == "Ã¶\n"


def test_a_letter_cut_in_two_by_the_pieces_a_file_is_read_in_is_whole() -> None:
    data = b"x" * (PIECE - 1) + "ö".encode() + b"\n"

    assert "".join(lines_of(data)) == "x" * (PIECE - 1) + "ö\n"


def test_a_letter_cut_off_at_the_end_makes_it_a_file_of_windows() -> None:
    assert list(lines_of(b"J\xc3")) == ["JÃ"]


def test_an_empty_file_has_no_lines() -> None:
    assert [list(lines_of(one)) for one in ("", b"", io.BytesIO(), io.StringIO())] == [[]] * 4  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [str, bytes])
def test_a_large_file_is_not_held_a_second_time(form: type) -> None:
    data: File = b"Rosa,r@client.example\n" * 500_000
    if form is str:
        data = data.decode()  # type: ignore[union-attr]
    tracemalloc.start()

    lines = sum(1 for _ in lines_of(data))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == 500_000
    assert peak < 6 * PIECE < len(data)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["a", "é", "\n", "\r", "\r\n", "x" * PIECE]), max_size=12))
def test_no_line_break_is_lost_or_made_where_a_text_is_cut(parts: list[str]) -> None:
    text = "".join(parts)

    expected = list(io.StringIO(text, newline=""))

    assert list(lines_of(text)) == list(lines_of(text.encode())) == expected
