"""Contacts out of vCards, version 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350), as phones and mail programs write them. Pure.

Of a card only its names and mail addresses are read: FN, else N, else ORG, and every EMAIL, the preferred one first. A
card within a card (AGENT) is passed over. A card that cannot be used is a problem with the line it begins in; the cards
beside it are read. Whatever else stands in a file is passed over, photographs without being held in memory.
"""

from __future__ import annotations

import binascii
import codecs
import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sync.crm import contacts_csv
from sync.crm.contacts_csv import ADDRESSES, NAME_LENGTH, CsvContact, Problem, one_line
from sync.crm.lines import decode
from sync.errors import BadItem

LINE_LENGTH = 8_192  # of an unfolded line; what is longer is no name and no address
PROPERTIES = 200  # of one card that are looked at
_READ = ("VERSION", "FN", "N", "ORG", "EMAIL")
_LAST_PREFERENCE = 101

_BEGIN = re.compile(r"BEGIN\s*:\s*VCARD\s*", re.IGNORECASE)
# Files put one behind the other without a line end between them.
_END = re.compile(r"END\s*:\s*VCARD\s*(BEGIN\s*:\s*VCARD\s*)?", re.IGNORECASE)
_NAME = re.compile(r"(?:[\w-]+\.)?([\w-]+)\s*[;:]")
_HEAD = re.compile(r"[^:\"]*+(?:\"[^\"]*+\"[^:\"]*+)*+:")
_PARAMETER = re.compile(r";((?:[^;\"]++|\"[^\"]*+\")*+)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(r"\\([\\,;:nN])")
_SEPARATED = re.compile(r"\\.|;", re.DOTALL)
_CHARSET_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
# Codecs that turn bytes into text and nothing more: no escapes, no compression.
_CHARSET = re.compile(
    r"ascii|utf-(?:8|16|32)\S*|iso8859-\S+|cp\d+|koi8-\S+|mac-\S+|shift_jis\S*|euc_\S+|gb\S+|big5\S*|iso2022_\S+"
)


@dataclass(frozen=True, slots=True)
class _Property:
    """A line of interest: parameters as (name, value) in capitals, and the value with its line breaks in it."""

    name: str
    parameters: frozenset[tuple[str, str]]
    value: str


@dataclass(slots=True)
class _Card:
    """A card being read. `within` counts cards that are open in it; `expecting` says that one may open now."""

    line: int
    properties: list[_Property] = field(default_factory=list)
    within: int = 0
    expecting: bool = False


def cards(lines: Iterable[str]) -> Iterator[CsvContact | Problem]:
    """The contacts and problems of a file, one card after the other; nothing of a card is kept once it is told. Raises
    BadItem at the end of a file that holds no card."""
    card: _Card | None = None
    any_card = False
    for number, line in _unfolded(lines):
        end = _END.fullmatch(line) if line[:1] in ("E", "e") else None
        begins = line[:1] in ("B", "b") and bool(_BEGIN.fullmatch(line))
        any_card = any_card or begins
        if card is None:
            card = _Card(number) if begins else None
        elif end and card.within:
            card.within -= 1
        elif end:
            yield from _told(card)
            card = _Card(number) if end[1] else None
        elif begins and card.expecting:
            card.within, card.expecting = card.within + 1, False
        elif begins:
            yield Problem(card.line, "The card does not end: there is no END:VCARD before the next card.")
            card = _Card(number)
        else:
            _note(card, line)
    if card is not None:
        yield Problem(card.line, "The card does not end: there is no END:VCARD before the end of the file.")
    if not any_card:
        raise BadItem("line 1", "The file holds no vCard: a card begins with the line BEGIN:VCARD.")


def _unfolded(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Whole lines with the number of their first, at most LINE_LENGTH of each. A break within a line stays as "\n",
    because version 2.1 means a space by it and the later ones nothing; the soft breaks of quoted-printable go."""
    start, length, soft, first = 0, 0, False, ""
    parts: list[str] = []
    for number, raw in enumerate(lines, 1):
        more = line = raw.rstrip("\r\n").removeprefix("\ufeff")
        # A value that was cut off must not swallow the end of its card, nor what is indented its beginning.
        soft = soft and not _edge(line)
        if not soft and parts and line[:1] in (" ", "\t") and not _edge(first):
            more = "\n" + line[1:]
        elif not soft:
            if parts:
                yield start, "".join(parts)
            start, length, parts, first = number, 0, [], line
        soft = line.endswith("=") and "QUOTED-PRINTABLE" in first.partition(":")[0].upper()
        if length < LINE_LENGTH:
            parts.append((more[:-1] if soft else more)[:LINE_LENGTH])
            length += len(more)
    if parts:
        yield start, "".join(parts)


def _edge(line: str) -> bool:
    return line[:1] in ("B", "b", "E", "e") and bool(_BEGIN.fullmatch(line) or _END.fullmatch(line))


def _note(card: _Card, line: str) -> None:
    """Keep a line of a card if it is of interest, and see whether another card may begin behind it."""
    told = _NAME.match(line)
    if told is None:
        return
    name, value = told[1].upper(), line.partition(":")[2]
    if name == "AGENT" and _BEGIN.fullmatch(value):
        card.within += 1
    card.expecting = name == "AGENT" and not value.strip()
    if name in _READ and not card.within and len(card.properties) < PROPERTIES:
        card.properties.append(_property(name, line))


def _property(name: str, line: str) -> _Property:
    # A colon within quotation marks ends nothing; where they are not closed, they are no such marks.
    whole = _HEAD.match(line)
    head = whole[0][:-1] if whole else line.partition(":")[0]
    parameters = set()
    for text in _PARAMETER.findall(head.replace("\n", "").upper()):
        key, is_named, values = text.partition("=")
        for value in (values if is_named else key).replace('"', "").split(","):
            parameters.add((key.strip() if is_named else "", value.strip()))
    return _Property(name, frozenset(parameters), line[len(head) + 1 :])


def _told(card: _Card) -> Iterator[CsvContact | Problem]:
    """What a card amounts to: its problems, then its contact if it has an address."""
    old = any(one.name == "VERSION" and one.value.strip() == "2.1" for one in card.properties)
    good: dict[str, None] = {}
    for one in sorted((one for one in card.properties if one.name == "EMAIL"), key=_preference):
        value = one_line(_unescaped(_text(one, "")))
        bare = value[7:] if value[:7].lower() == "mailto:" else value
        known = contacts_csv.address(bare)
        if known:
            good[known] = None
        elif value:
            yield Problem(card.line, f"{value[:80]!r} is not a mail address.")
    if len(good) > ADDRESSES:
        yield Problem(card.line, f"The card has more than {ADDRESSES} mail addresses; the others were left out.")
    if not good:
        yield Problem(card.line, "The card has no mail address that can be used.")
        return
    name = _called(card.properties, " " if old else "")
    if len(name) > NAME_LENGTH:
        yield Problem(card.line, f"The name has more than {NAME_LENGTH} characters and was cut.")
    yield CsvContact(card.line, name[:NAME_LENGTH].rstrip(), tuple(good)[:ADDRESSES])


def _preference(email: _Property) -> int:
    """1 is preferred most: PREF=1 to 100 of version 4, a mere PREF of the others."""
    if not {("", "PREF"), ("TYPE", "PREF")}.isdisjoint(email.parameters):
        return 1
    told = [int(value) for key, value in email.parameters if key == "PREF" and re.fullmatch("[0-9]{1,3}", value)]
    return min(told, default=_LAST_PREFERENCE)


def _called(properties: Iterable[_Property], gap: str) -> str:
    """The name as it is shown, else its parts, else the organisation."""
    found = {"FN": "", "N": "", "ORG": ""}
    for one in properties:
        if found.get(one.name) != "":  # not a name, or the second of its kind
            continue
        text = _text(one, gap)
        if one.name == "FN":
            shown = _unescaped(text)
        elif one.name == "N":
            family, given, middle, *_ = [*_parts(text), "", ""]
            shown = f"{given} {middle} {family}"
        else:
            shown = _parts(text)[0]
        found[one.name] = one_line(shown)
    return found["FN"] or found["N"] or found["ORG"]


def _parts(text: str) -> list[str]:
    marked = _SEPARATED.sub(lambda met: "\0" if met[0] == ";" else met[0], text)
    return [_unescaped(part) for part in marked.split("\0")]


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda met: " " if met[1] in "nN" else met[1], text)


def _text(one: _Property, gap: str) -> str:
    """The value as text, its encoding undone. A value that is not encoded as it says is taken as it stands."""
    value = one.value.replace("\n", gap)
    if not one.parameters and value.isascii():
        return value
    charset = _charset(next((told for key, told in one.parameters if key == "CHARSET"), ""))
    encodings = {told for key, told in one.parameters if key in ("", "ENCODING")}
    if "QUOTED-PRINTABLE" in encodings:
        return _decoded(
            quopri.decodestring(value.encode(charset if not value.isascii() else "ascii", "replace")), charset
        )
    if not encodings.isdisjoint(("B", "BASE64")):
        try:
            return _decoded(binascii.a2b_base64(value.encode("utf-8", "replace")), charset)
        except binascii.Error:
            return value
    return value if value.isascii() else _decoded_again(value, charset)


def _charset(told: str) -> str:
    """The codec of this name; UTF-8 where there is none, or one that is no mere character set."""
    try:
        name = codecs.lookup(told).name if _CHARSET_NAME.fullmatch(told) else ""
    except LookupError:
        return "utf-8"
    return name if _CHARSET.fullmatch(name) else "utf-8"


def _decoded(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except UnicodeError:
        return decode(data)


def _decoded_again(text: str, charset: str) -> str:
    """Text of a card that says its own charset, in a file that was taken for Windows' as a whole."""
    try:
        again = text.encode("windows-1252").decode(charset)
    except UnicodeError:
        return text
    return text if _CONTROLS.search(again) else again
