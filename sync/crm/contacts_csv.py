"""Contacts out of a CSV file as Outlook, Google Contacts or Salesforce export it. Pure.

Columns are found by their names, whatever their order, language of punctuation or letter case: one or several for mail
addresses, one for the name or several for its parts. Everything else is passed over. A row that cannot be used is an
error with its line; the rows beside it are read.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from operator import itemgetter

from sync.errors import BadItem
from sync.keys import fold

ADDRESS_LENGTH = 320
NAME_LENGTH = 400
ADDRESSES = 50  # of one contact
ROW_LINES = 2_000  # a quoted cell that runs over more lines was never closed
LINE_LENGTH = 500_000  # nobody's contact
PIECES = 1_000  # of what stands in the columns of addresses of one row
BAD_ADDRESSES = 5  # named one by one in a row
ERRORS = 1_000  # with more than this many it is no file of contacts
ROWS = 250_000  # as many as one request can take in
DELIMITERS = (",", ";", "\t")

_BEGINNING = itemgetter(slice(LINE_LENGTH + 1))
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
    lines = _Lines(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    delimiter, columns = _header(lines)
    contacts: list[CsvContact] = []
    errors: list[tuple[int, str]] = []
    for rows, (line, cells, problem) in enumerate(_rows(lines, delimiter, columns.count)):
        if len(errors) >= ERRORS or rows >= ROWS:
            too_many = f"{ERRORS} errors" if rows < ROWS else f"{ROWS} rows"
            errors = [*errors[:ERRORS], (line, f"More than {too_many}: this row and those after it were not read.")]
            break
        if problem:
            errors.append((line, problem))
        elif any(map(str.strip, cells)):
            contact, complaints = _contact(line, cells, columns)
            errors += [(line, complaint) for complaint in complaints]
            if contact is not None:
                contacts.append(contact)
    return CsvContacts(tuple(contacts), tuple(errors[: ERRORS + 1]))


def address(text: str) -> str:
    """The folded mail address that `text` is, alone or in angle brackets; empty where it is none."""
    angled = _ANGLED.fullmatch(text)
    bare = fold(angled[1] if angled else text)
    return bare if len(bare) <= ADDRESS_LENGTH and _ADDRESS.fullmatch(bare) else ""


def one_line(text: str) -> str:
    """Text without control characters, runs of spaces and halves of characters."""
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return " ".join(_CONTROLS.sub(" ", whole).split())


@dataclass(slots=True)
class _Lines:
    """The lines of a file from `number` on. They are read when they are asked for: a file may have millions."""

    file: Iterator[str]
    number: int = 1
    ahead: deque[str] = field(default_factory=deque)

    def look(self) -> deque[str]:
        """The next lines, as many as a row may take or as are left, each with its line break."""
        self.ahead.extend(map(_BEGINNING, islice(self.file, ROW_LINES - len(self.ahead))))
        return self.ahead

    def drop(self, count: int) -> None:
        """Go on behind so many of these lines."""
        self.number += count
        deque(islice(iter(self.ahead.popleft, None), count), maxlen=0)

    def skip_blank(self) -> bool:
        """Go to the next line with anything on it; whether there is one."""
        while ahead := self.look():
            blank = len(list(takewhile(str.isspace, ahead)))
            if not blank:
                return True
            self.drop(blank)
        return False


def _header(lines: _Lines) -> tuple[str, _Columns]:
    """What separates the cells of a row, and which cell is what. The rows are next."""
    told = _TOLD.fullmatch(lines.ahead[0].strip()) if lines.skip_blank() else None
    if told:  # a first line that Excel understands
        lines.drop(1)
    found: list[tuple[bool, int, int, int, int, str, _Columns]] = []
    for delimiter in (told[1],) if told else DELIMITERS:
        cells, used, closed = _record(lines, delimiter)
        columns = _columns(cells)
        found.append((closed, len(columns.mail), columns.count, -len(found), used, delimiter, columns))
    closed, mail, _, _, used, delimiter, columns = max(found, key=lambda one: one[:4])
    if not (closed and mail):
        raise BadItem("line 1", "The file has no column of mail addresses: name one of its columns Email.")
    lines.drop(used)
    return delimiter, columns


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


def _rows(lines: _Lines, delimiter: str, count: int) -> Iterator[tuple[int, list[str], str]]:
    """(line, cells, what is wrong with the row). After a row that may have swallowed others, the next line is next."""
    while lines.skip_blank():
        line = lines.number
        cells, used, closed = _record(lines, delimiter)
        good = not any(map(str.strip, cells)) or (closed and len(cells) == count)
        lines.drop(used if good else 1)
        if good:
            yield line, cells, ""
        elif closed:
            yield line, [], f"The row has {len(cells)} columns, the header has {count}."
        else:
            yield line, [], "The row cannot be read: a quotation mark is not closed, or a cell is far too long."


def _record(lines: _Lines, delimiter: str) -> tuple[list[str], int, bool]:
    """The cells of the row that begins here, how many lines it takes, and whether it ends at all."""
    ahead = lines.look()
    if ahead and len(ahead[0]) > LINE_LENGTH:
        return ["?"], 1, False
    try:
        reader = csv.reader(ahead, delimiter=delimiter, strict=True)
        return next(reader, []), reader.line_num, True
    except csv.Error:
        pass  # a quotation mark is never closed, or stands where none may: then the row is this line at most
    try:
        reader = csv.reader([ahead[0], ""], delimiter=delimiter)
        cells = next(reader)
    except csv.Error:
        return ["?"], 1, False
    return cells, 1, reader.line_num == 1


def _contact(line: int, cells: Sequence[str], columns: _Columns) -> tuple[CsvContact | None, list[str]]:
    good: dict[str, None] = {}
    bad: list[str] = []
    for piece in islice(_pieces(cells[place] for place in columns.mail), PIECES):
        known = address(piece)
        if known:
            good[known] = None
        else:
            bad.append(piece)
    complaints = [f"{one_line(piece[:400])[:80]!r} is not a mail address." for piece in bad[:BAD_ADDRESSES]]
    if len(bad) > BAD_ADDRESSES:
        complaints = [f"More than {BAD_ADDRESSES} texts of the row are not mail addresses."]
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
