"""Contacts out of a CSV file as Outlook, Google Contacts or Salesforce export it. Pure.

Columns are found by their names, whatever their order, punctuation or letter case: one or several for mail addresses,
one for the name or several for its parts. Everything else is passed over. A row that cannot be used is a problem with
its line; the rows beside it are read. Nothing of a row is kept once it is told, so that a file may have any length.
"""

from __future__ import annotations

import csv
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
DELIMITERS = (",", ";", "\t")

_BEGINNING = itemgetter(slice(LINE_LENGTH + 1))
# Header names of exports without spaces, punctuation and letter case, and which export writes them.
_MAIL_NAMES = {
    "emailaddress": "Outlook (classic, new and on the web)",
    "email2address": "Outlook",
    "email3address": "Outlook",
    "emailadresse": "Outlook in German",
    "email2adresse": "Outlook in German",
    "email3adresse": "Outlook in German",
    "email1value": "Google Contacts, beside E-mail 1 - Type until 2024 and E-mail 1 - Label since; so are all numbers",
    "email": "Salesforce (report, list view, Data Loader: EMAIL)",
    "contactemail": "Salesforce, a report of another type than contacts",
    "npe01homeemail": "Salesforce for nonprofits (npe01__HomeEmail__c)",
    "npe01workemail": "Salesforce for nonprofits",
    "npe01alternateemail": "Salesforce for nonprofits",
    "mail": "Entra and other directories",
    "primaryemail": "Thunderbird",
    "secondaryemail": "Thunderbird",
}
# And of people's own tables: what kind of address it is before or behind, a number, an s at the end.
_MAIL = re.compile(
    r"(?:primary|secondary|main|other|work|business|home|private|personal|company|alternat(?:e|ive)|additional|contact)?"
    r"e?mails?(?:address(?:es)?|adressen?)?(?:\d{1,2}(?:address|adresse|value)?)?(?:home|work|other)?"
)
_NAMES = {
    "name": ("whole", "Google Contacts until 2024, Salesforce"),
    "fullname": ("whole", "Salesforce, a report"),
    "contactname": ("whole", "Salesforce, a report of another type than contacts"),
    "displayname": ("whole", "Entra, Thunderbird"),
    "anzeigename": ("whole", "Thunderbird in German"),
    "firstname": ("first", "Outlook, Google Contacts since 2024, Salesforce (FIRSTNAME)"),
    "contactfirstname": ("first", "Salesforce, a report of another type than contacts"),
    "givenname": ("first", "Google Contacts until 2024, Entra"),
    "vorname": ("first", "Outlook in German"),
    "middlename": ("middle", "Outlook, Google Contacts since 2024, Salesforce"),
    "additionalname": ("middle", "Google Contacts until 2024"),
    "weiterevornamen": ("middle", "Outlook in German"),
    "lastname": ("last", "Outlook, Google Contacts since 2024, Salesforce (LASTNAME)"),
    "contactlastname": ("last", "Salesforce, a report of another type than contacts"),
    "familyname": ("last", "Google Contacts until 2024"),
    "surname": ("last", "Entra"),
    "nachname": ("last", "Outlook in German"),
}
_CUSTOM = re.compile(r"__c$", re.IGNORECASE)  # the end of the name of a field that a Salesforce customer added
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
class Problem:
    """What is wrong with the row or card that begins in this line; there may be several, and still a contact."""

    line: int
    sentence: str


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where things stand in a row. `name` is tried first, `parts` are joined where it is empty."""

    count: int
    mail: tuple[int, ...]
    name: tuple[int, ...]
    parts: tuple[int, ...]


def rows(lines: Iterable[str]) -> Iterator[CsvContact | Problem]:
    """The contacts and problems of a file, row by row. Raises BadItem where it has no header with a column of mail
    addresses."""
    unread = _Lines(iter(lines))
    delimiter, columns = _header(unread)
    for line, cells, problem in _rows(unread, delimiter, columns.count):
        if problem:
            yield Problem(line, problem)
        elif any(map(str.strip, cells)):
            yield from _told(line, cells, columns)


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

    def skip_blank(self, delimiter: str = "") -> bool:
        """Go to the next line with anything on it but spaces and delimiters; whether there is one."""
        # A file may have millions of such lines: both of these are answered without a call in Python.
        empty = re.compile(rf"[\s{re.escape(delimiter)}]+").fullmatch
        while ahead := self.look():
            blank = len(list(takewhile(str.isspace, ahead))) or len(list(takewhile(empty, ahead)))
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
    names = [_NOT_LETTERS.sub("", _CUSTOM.sub("", cell.strip())).casefold() for cell in header]

    def places(part: str) -> tuple[int, ...]:
        return tuple(place for place, name in enumerate(names) if _NAMES.get(name, ("",))[0] == part)

    return _Columns(
        count=len(names),
        mail=tuple(place for place, name in enumerate(names) if name in _MAIL_NAMES or _MAIL.fullmatch(name)),
        name=places("whole"),
        parts=places("first") + places("middle") + places("last"),
    )


def _rows(lines: _Lines, delimiter: str, count: int) -> Iterator[tuple[int, list[str], str]]:
    """(line, cells, what is wrong with the row). After a row that may have swallowed others, the next line is next."""
    while lines.skip_blank(delimiter):
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


def _told(line: int, cells: Sequence[str], columns: _Columns) -> Iterator[CsvContact | Problem]:
    """What a row amounts to: its problems, then its contact if it has an address."""
    good: dict[str, None] = {}
    bad: list[str] = []
    for piece in islice(_pieces(cells[place] for place in columns.mail), PIECES):
        known = address(piece)
        if known:
            good[known] = None
        else:
            bad.append(piece)
    if len(bad) > BAD_ADDRESSES:
        yield Problem(line, f"More than {BAD_ADDRESSES} texts of the row are not mail addresses.")
    else:
        yield from (Problem(line, f"{one_line(piece[:400])[:80]!r} is not a mail address.") for piece in bad)
    if len(good) > ADDRESSES:
        yield Problem(line, f"The row has more than {ADDRESSES} mail addresses; the others were left out.")
    if not good:
        yield Problem(line, "The row has no mail address that can be used.")
        return
    name = _name(cells, columns)
    if len(name) > NAME_LENGTH:
        yield Problem(line, f"The name has more than {NAME_LENGTH} characters and was cut.")
    yield CsvContact(line, name[:NAME_LENGTH].rstrip(), tuple(good)[:ADDRESSES])


def _pieces(cells: Iterable[str]) -> Iterator[str]:
    for cell in cells:
        whole = cell.strip()
        if address(whole):
            yield whole
            continue
        for piece in filter(None, map(str.strip, _BETWEEN.split(whole))):
            words = piece.split(maxsplit=PIECES)
            yield from words if all(map(address, words)) else (piece,)


def _name(cells: Sequence[str], columns: _Columns) -> str:
    """The whole name, else its parts together, else nothing."""
    whole = next((name for place in columns.name if (name := one_line(cells[place]))), "")
    return whole or " ".join(filter(None, (one_line(cells[place]) for place in columns.parts)))
