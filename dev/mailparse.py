"""Bytes of a mail into its pieces: header lines, words, parameters, addresses, dates and MIME parts. Nothing raises.

The standard library's own parser is not used for the structure: it raises on some broken parameters,
rebuilds enclosed messages instead of slicing them, stops reading a header at its first odd line, and
answers differently from one Python release to the next. Its date reader is used.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz
from urllib.parse import unquote_to_bytes

Headers = tuple[tuple[str, bytes], ...]

# Years outside are clocks that were never set, or spam that wants to stay on top of a list.
FIRST_YEAR, LAST_YEAR = 1971, 2037

# Names that Python does not know, or knows as something narrower than what their senders mean.
_ALIASES = {
    "iso-2022-jp-ms": "iso2022_jp",
    "x-sjis": "shift_jis",
    "sjis": "shift_jis",
    "x-euc-jp": "euc_jp",
    "x-gbk": "gbk",
    "gb_2312-80": "gb2312",
    "ks_c_5601": "euc_kr",
    "iso-8859-8-i": "iso8859_8",
    "iso-8859-8-e": "iso8859_8",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
}
# Python's name of a charset, and the codecs that read what is really sent under it, in the order to try: the
# supersets that mail programs write, and UTF-8 first where nearly every text that is valid UTF-8 really is UTF-8.
_CODECS = {
    "ascii": ("utf-8", "cp1252"),
    "iso8859-1": ("utf-8", "cp1252"),
    "iso8859-15": ("utf-8", "iso8859-15"),
    "cp1252": ("utf-8", "cp1252"),
    "iso2022_jp": ("iso2022_jp_ext", "iso2022_jp_2004"),
    "shift_jis": ("cp932", "shift_jis_2004"),
    "euc_kr": ("cp949",),
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "big5": ("cp950", "big5hkscs"),
}
# One broken character must not turn a page of these into rubbish.
_MULTIBYTE = re.compile(r"cp9\d\d|iso2022_|shift_jis|euc_|gb18030|big5")
# Codecs of Python that are no charsets of mail; some of them warn.
_NO_CHARSETS = {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem"}

# Lengths are bounded, so that a header full of marks that never close costs no more than another.
QUOTED = r'"(?:[^"\\]|\\.){0,800}"'
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.S)
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?(.{0,800}?)\?=", re.S)
_UNWANTED = re.compile("[\x00\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x20\x7f\u0085\u2028\u2029\ud800-\udfff]+")


# --- texts


def clean(text: str) -> str:
    """A text without NUL and lone surrogates, which no storage takes."""
    return _UNWANTED.sub("", text)


def one_line(text: str) -> str:
    """A text as one line without control characters."""
    return _CONTROLS.sub(" ", text).strip()


def codecs_of(charset: str) -> tuple[str, ...]:
    """The codecs to try for a charset as a mail names it; none when nobody knows it."""
    name = charset.strip(" \t'\"").split("*")[0].lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.:+-]{1,40}", name):
        return ()
    try:
        known = codecs.lookup(_ALIASES.get(name, name)).name
    except (LookupError, ValueError, ImportError):
        return ()
    return () if known.replace("-", "_") in _NO_CHARSETS else _CODECS.get(known, (known,))


def decode(data: bytes, charset: str = "", hint: str = "") -> str:
    """Bytes as text: by `charset`, else UTF-8, else by `hint` (a charset named nearby), else Latin-1. Never fails."""
    named = codecs_of(charset)
    # Japanese mail is often 7-bit with escapes and says nothing, or says it is ASCII.
    escaped = _CODECS["iso2022_jp"] if b"\x1b$" in data else ()
    for codec in (*escaped, *named, "utf-8", *codecs_of(hint)):
        text = _strict(data, codec)
        if text is not None:
            return clean(text.removeprefix("\ufeff"))
    for codec in named[:1] if _mostly(data, named) else ():
        text = data.decode(codec, "replace")
        if text.count("\ufffd") * 10 <= len(text):
            return clean(text)
    return clean(_strict(data, "cp1252") or data.decode("latin-1"))


def _mostly(data: bytes, named: tuple[str, ...]) -> bool:
    return bool(named and _MULTIBYTE.match(named[0])) and (b"\x1b" in data or not named[0].startswith("iso2022"))


def _strict(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, LookupError):
        return None


def words(text: str) -> str:
    """A header text with its RFC 2047 words decoded; a broken word stays as it is written."""
    out: list[str] = []
    end, charset, data = 0, "", b""
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        raw = _word_bytes(word[2], word[3])
        joins = bool(data) and not between.strip()
        if joins and word[1].lower() == charset.lower():
            data += raw  # a character may be split between two words
        else:
            out.append(decode(data, charset))
            out.append("" if joins else between)
            charset, data = word[1], raw
        end = word.end()
    return "".join((*out, decode(data, charset), text[end:]))


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "ignore")
    return base64(raw) if encoding in "bB" else binascii.a2b_qp(raw, header=True)


# --- transfer encodings


def base64(data: bytes) -> bytes:
    """Base64 with anything foreign, missing or doubled in it."""
    pieces = re.split(rb"=+", re.sub(rb"[^A-Za-z0-9+/=]+", b"", data))
    whole = [piece[:-1] if len(piece) % 4 == 1 else piece for piece in pieces]
    return b"".join(binascii.a2b_base64(piece + b"=" * (-len(piece) % 4)) for piece in whole)


def uudecode(data: bytes) -> bytes:
    """The file in a uuencoded block, with or without its begin and end lines."""
    out: list[bytes] = []
    for line in data.splitlines():
        if line.strip() == b"end":
            break
        if not line.strip() or line.startswith(b"begin "):
            continue
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Encoders differ in how they fill the last group: the length byte says how much of the line counts.
            used = (((line[0] - 32) & 63) * 4 + 5) // 3
            out.append(_uu_cut(line[:used]))
    return b"".join(out)


def _uu_cut(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""


def unpack(data: bytes, encoding: str) -> bytes:
    """A part's bytes after its Content-Transfer-Encoding; an unknown or lying one changes nothing."""
    token = re.match(r"[\w-]*", encoding.strip().lower())
    name = token[0] if token else ""
    if name == "base64":
        foreign = len(re.sub(rb"[A-Za-z0-9+/=\s]+", b"", data))
        return data if foreign * 20 > len(data) else base64(data)
    if name == "quoted-printable":
        return binascii.a2b_qp(data)
    if name in ("x-uuencode", "uuencode", "x-uue", "uue"):
        return uudecode(data)
    return data


# --- headers


def split_head(raw: bytes) -> tuple[Headers, bytes]:
    """The header lines of a mail or part, unfolded, and the bytes behind the empty line.

    A line that is no header is passed over when the header goes on behind it; otherwise the body begins there.
    """
    lines: list[tuple[str, bytes]] = []
    place = 0
    while place < len(raw):
        line, behind = _line(raw, place)
        if not line or (not line.strip() and not _goes_on(raw, behind)):
            return tuple(lines), raw[behind:]
        found = _HEADER.match(line)
        if line[:1] in (b" ", b"\t"):
            if lines:
                lines[-1] = (lines[-1][0], lines[-1][1] + b" " + line.strip())
        elif found:
            lines.append((found[1].decode("ascii"), found[2].strip()))
        elif not _goes_on(raw, behind):
            return tuple(lines), raw[place:]
        place = behind
    return tuple(lines), b""


def _line(raw: bytes, place: int) -> tuple[bytes, int]:
    end = raw.find(b"\n", place)
    behind = len(raw) if end < 0 else end + 1
    return raw[place:behind].rstrip(b"\r\n"), behind


def _goes_on(raw: bytes, place: int) -> bool:
    line, _ = _line(raw, place)
    return bool(_HEADER.match(line)) or (line[:1] in (b" ", b"\t") and bool(line.strip()))


def header(headers: Headers, name: str) -> bytes:
    """The first header of that name, or nothing."""
    return next((value for key, value in headers if key.lower() == name), b"")


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """A Content-Type or Content-Disposition: its value in lower case, and its parameters (RFC 2231, 2047)."""
    first, *rest = _pieces(value)
    plain: dict[str, str] = {}
    parts: dict[str, dict[int, tuple[bool, str]]] = {}
    for piece in rest:
        name, _, text = piece.partition("=")
        name, text = name.strip().lower(), _unquoted(text.strip())
        numbered = re.fullmatch(r"([^*]+)\*(?:([0-9]{1,4})(\*)?)?", name)
        if numbered:
            place = int(numbered[2] or 0)
            percent = numbered[2] is None or bool(numbered[3])
            parts.setdefault(numbered[1], {}).setdefault(place, (percent, text))
        else:
            plain.setdefault(name, one_line(words(text)))
    for name, pieces in parts.items():
        plain[name] = one_line(words(_continued(pieces)))
    return one_line(first).lower(), plain


def _pieces(value: str) -> list[str]:
    return ["".join(piece) for piece in _split(value, ";")]


def _split(value: str, mark: str) -> Iterator[list[str]]:
    piece: list[str] = []
    for token in re.findall(QUOTED + "|.", value, re.S):
        if token == mark:
            yield piece
            piece = []
        else:
            piece.append(token)
    yield piece


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.S)
    return text.strip('"')


def _continued(pieces: dict[int, tuple[bool, str]]) -> str:
    charset, data = "", b""
    for place in sorted(pieces):
        percent, text = pieces[place]
        if percent and place == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "ignore")
        data += unquote_to_bytes(raw) if percent else raw
    return decode(data, charset)


def moment(text: str) -> datetime | None:
    """A Date header in UTC, or None where it says no day that can be believed."""
    plain = re.sub(r"\s*:\s*", ":", uncommented(text)).strip()
    try:
        parsed = parsedate_tz(plain)
        if parsed is None:
            return None
        year, month, day, hour, minute, second = parsed[:6]
        local = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        when = local - timedelta(seconds=parsed[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if FIRST_YEAR <= when.year <= LAST_YEAR else None


def message_id(text: str) -> str:
    """A Message-ID with its brackets and without the spaces and comments RFC 822 allowed in it."""
    plain = one_line(uncommented(text))
    found = re.search(r"<([^<>]+)>", plain)
    return "<" + found[1].replace(" ", "") + ">" if found else plain


def uncommented(text: str) -> str:
    """A header text without its (comments); what follows a bracket that never closes stays."""
    out: list[str] = []
    depth, opened = 0, 0
    for mark in re.findall(QUOTED + r"|\\.|.", text, re.S):
        if mark == "(":
            depth += 1
            opened = len(out) if depth == 1 else opened
        out.append(mark)
        if mark == ")" and depth:
            depth -= 1
            if not depth:
                out[opened:] = [" "]
    return "".join(out)


# --- parts


@dataclass(frozen=True, slots=True)
class Part:
    """One node of a mail: `kind` is type/subtype, `content` is decoded for a leaf and empty for a multipart."""

    kind: str
    settings: dict[str, str]
    disposition: str
    name: str
    content_id: str
    content: bytes
    parts: Sequence[Part] = ()


MOST_PARTS = 500
DEEPEST = 20


def part_of(headers: Headers, body: bytes, usual: str = "text/plain", depth: int = 0) -> Part:
    """The tree of a mail or part; what is nested deeper than any mail program writes stays one leaf."""
    kind, settings = parameters(decode(header(headers, "content-type")))
    if not re.fullmatch(r"[^\s/]+/[^\s/]+", kind):
        kind = usual
    disposition, more = parameters(decode(header(headers, "content-disposition")))
    name = more.get("filename") or settings.get("name") or ""
    if not name and not kind.startswith(("text/", "multipart/")):
        name = re.split(r"[/\\]", one_line(words(decode(header(headers, "content-location")))))[-1]
    content_id = one_line(decode(header(headers, "content-id"))).strip("<> ")
    inside = _inside(kind, settings, body, depth)
    if inside:
        return Part(kind, settings, disposition, name, content_id, b"", inside)
    if kind.startswith("multipart/"):
        kind = "text/plain"
    content = unpack(body, decode(header(headers, "content-transfer-encoding")))
    return Part(kind, settings, disposition, name, content_id, content)


def _inside(kind: str, settings: dict[str, str], body: bytes, depth: int) -> tuple[Part, ...]:
    if not kind.startswith("multipart/") or depth >= DEEPEST:
        return ()
    boundary = settings.get("boundary", "").encode("utf-8", "ignore")
    if not boundary:
        guessed = re.search(rb"^--(\S+)[ \t\r]*$", body, re.M)
        boundary = guessed[1] if guessed else b""
    usual = "message/rfc822" if kind == "multipart/digest" else "text/plain"
    return tuple(part_of(*split_head(piece), usual, depth + 1) for piece in _between(body, boundary))


def _between(body: bytes, boundary: bytes) -> list[bytes]:
    if not boundary:
        return []
    pieces: list[bytes] = []
    start = -1
    for mark in re.finditer(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)", body):
        if start >= 0:
            pieces.append(body[start : mark.start()])
        start = mark.end()
        if mark[1] or len(pieces) >= MOST_PARTS:
            break
    else:
        if start >= 0:
            pieces.append(body[start:])
    return [re.sub(rb"\A\r?\n", b"", piece) for piece in pieces]
