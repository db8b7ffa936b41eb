"""Contacts out of a CSV file as Outlook, Google Contacts or Salesforce export it. Pure.

Columns are found by their names, whatever their order, language of punctuation or letter case: one or several for mail
addresses, one for the name or several for its parts. Everything else is passed over. A row that cannot be used is an
error with its line; the rows beside it are read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sync.errors import BadItem
from sync.keys import fold

ADDRESS_LENGTH = 320
NAME_LENGTH = 400
ADDRESSES = 50  # of one contact
ROW_LINES = 2_000  # a quoted cell that runs over more lines was never closed
ERRORS = 1_000  # with more than this many it is no file of contacts
DELIMITERS = (",", ";", "\t")

# Header names without spaces, punctuation and letter case.
_MAIL = re.compile(
    r"(?:primary|secondary|main|other|work|business|home|private|personal|company|alternate|additional|contact)?"
    r"e?mails?(?:address(?:es)?|adressen?)?(?:\d{1,2}(?:address|adresse|value)?)?(?:home|work|other)?"
)
_WHOLE_NAME = ("name", "fullname", "displayname", "contactname", "anzeigename")
_FIRST_NAME = ("firstname", "givenname", "vorname")
_MIDDLE_NAME = ("middlename", "additionalname", "weiterevornamen")
_LAST_NAME = ("lastname", "familyname", "surname", "nachname")
_TOLD = re.compile(r"sep=(.)", re.IGNORECASE)
_NOT_LETTERS = re.compile(r"[\W_]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_PART = r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+"
_ADDRESS = re.compile(f"{_PART}@{_PART}")
_ANGLED = re.compile(r"[^<>]*<([^<>]+)>\s*")
_BETWEEN = re.compile(r":::|[;,\r\n]")


@dataclass(frozen=True, slots=True)
class CsvContact:
    """A usable row; `addresses` folded, each once, the first is the main one."""

    line: int
    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CsvContacts:
    """What a file holds: contacts, and (line, sentence) for every row or cell that could not be used."""

    contacts: tuple[CsvContact, ...]
    errors: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where things stand in a row. `name` is tried first, `parts` are joined where it is empty."""

    count: int
    mail: tuple[int, ...]
    name: tuple[int, ...]
    parts: tuple[int, ...]


def decode(data: bytes) -> str:
    """The text of a file: UTF-8 or UTF-16 as its first bytes say, else what Outlook on Windows writes."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("windows-1252", "replace")


def read(text: str) -> CsvContacts:
    """Read a file. Raises BadItem where it has no header with a column of mail addresses."""
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    start, delimiter, columns = _header(lines)
    contacts: list[CsvContact] = []
    errors: list[tuple[int, str]] = []
    for line, cells, problem in _rows(lines, start, delimiter, columns.count):
        if len(errors) >= ERRORS:
            errors.append((line, f"More than {ERRORS} errors: this row and those after it were not read."))
            break
        if problem:
            errors.append((line, problem))
            continue
        contact, complaints = _contact(line, cells, columns)
        errors += [(line, complaint) for complaint in complaints]
        if contact is not None:
            contacts.append(contact)
    return CsvContacts(tuple(contacts), tuple(errors))


def address(text: str) -> str:
    """The folded mail address that `text` is, alone or in angle brackets; empty where it is none."""
    angled = _ANGLED.fullmatch(text)
    bare = fold(angled[1] if angled else text)
    return bare if len(bare) <= ADDRESS_LENGTH and _ADDRESS.fullmatch(bare) else ""


def one_line(text: str) -> str:
    """Text without control characters, runs of spaces and halves of characters."""
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return " ".join(_CONTROLS.sub(" ", whole).split())


def _header(lines: Sequence[str]) -> tuple[int, str, _Columns]:
    """Where the rows begin, what separates their cells, and which cell is what."""
    start = next((position for position, line in enumerate(lines) if line.strip()), 0)
    told = _TOLD.fullmatch(lines[start].strip()) if lines else None
    if told:  # a first line that Excel understands
        start += 1
    found: list[tuple[bool, int, int, int, int, str, _Columns]] = []
    for delimiter in (told[1],) if told else DELIMITERS:
        cells, used, closed = _record(lines, start, delimiter)
        columns = _columns(cells)
        found.append((closed, len(columns.mail), columns.count, -len(found), start + used, delimiter, columns))
    closed, mail, _, _, after, delimiter, columns = max(found, key=lambda one: one[:4])
    if not (closed and mail):
        raise BadItem("line 1", "The file has no column of mail addresses: name one of its columns Email.")
    return after, delimiter, columns


def _columns(header: Sequence[str]) -> _Columns:
    names = [_NOT_LETTERS.sub("", cell).casefold() for cell in header]

    def places(wanted: Sequence[str]) -> tuple[int, ...]:
        return tuple(place for place, name in enumerate(names) if name in wanted)

    return _Columns(
        count=len(names),
        mail=tuple(place for place, name in enumerate(names) if _MAIL.fullmatch(name)),
        name=places(_WHOLE_NAME),
        parts=places(_FIRST_NAME) + places(_MIDDLE_NAME) + places(_LAST_NAME),
    )


def _rows(lines: Sequence[str], start: int, delimiter: str, count: int) -> Iterator[tuple[int, list[str], str]]:
    """(line, cells, what is wrong with the row). After a row that may have swallowed others, the next line is next."""
    position = start
    while position < len(lines):
        line = position + 1
        cells, used, closed = _record(lines, position, delimiter)
        position += used
        if not any(map(str.strip, cells)):
            continue
        if closed and len(cells) == count:
            yield line, cells, ""
            continue
        position = line
        if closed:
            yield line, [], f"The row has {len(cells)} columns, the header has {count}."
        else:
            yield line, [], "The row cannot be read: a quotation mark is not closed, or a cell is far too long."


def _record(lines: Sequence[str], position: int, delimiter: str) -> tuple[list[str], int, bool]:
    """The cells of the row that begins here, how many lines it takes, and whether it ends at all."""
    try:
        return *_parsed(lines[position : position + ROW_LINES], delimiter, strict=True), True
    except csv.Error:
        pass  # a quotation mark is never closed, or stands where none may: then the row is this line at most
    try:
        cells, asked = _parsed(lines[position : position + 1], delimiter, strict=False)
    except csv.Error:
        return ["?"], 1, False
    return cells, 1, asked == 1


def _parsed(lines: Sequence[str], delimiter: str, strict: bool) -> tuple[list[str], int]:
    """The first row of these lines, and how many lines the reader asked for."""
    asked = 0

    def source() -> Iterator[str]:
        nonlocal asked
        for line in lines:
            asked += 1
            yield line
        asked += 1

    return next(csv.reader(source(), delimiter=delimiter, strict=strict), []), asked


def _contact(line: int, cells: Sequence[str], columns: _Columns) -> tuple[CsvContact | None, list[str]]:
    good: dict[str, None] = {}
    complaints: list[str] = []
    for piece in _pieces(cells[place] for place in columns.mail):
        known = address(piece)
        if known:
            good[known] = None
        else:
            complaints.append(f"{one_line(piece)[:80]!r} is not a mail address.")
    if len(good) > ADDRESSES:
        complaints.append(f"The row has more than {ADDRESSES} mail addresses; the others were left out.")
    if not good:
        return None, [*complaints, "The row has no mail address that can be used."]
    addresses = tuple(good)[:ADDRESSES]
    name = _name(cells, columns)
    if len(name) > NAME_LENGTH:
        complaints.append(f"The name has more than {NAME_LENGTH} characters and was cut.")
    return CsvContact(line, name[:NAME_LENGTH].rstrip(), addresses), complaints


def _pieces(cells: Iterable[str]) -> Iterator[str]:
    for cell in cells:
        whole = cell.strip()
        if address(whole):
            yield whole
            continue
        yield from filter(None, map(str.strip, _BETWEEN.split(whole)))


def _name(cells: Sequence[str], columns: _Columns) -> str:
    """The whole name, else its parts together, else nothing."""
    whole = next((name for place in columns.name if (name := one_line(cells[place]))), "")
    return whole or " ".join(filter(None, (one_line(cells[place]) for place in columns.parts)))
