"""Real mail files into a firm: any folder or mbox of .eml-like files becomes one mailbox and its correspondents."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

from dev import mailparse
from dev.firm import Attachment, BrokenFile, Client, Firm, FirmMailbox, MailFile, Party
from dev.mailaddress import parties, usable
from dev.mailparse import Headers, Part
from sync.errors import BadItem
from sync.keys import fold

# A file without one of these is some other text that happens to hold a colon.
_MAIL_HEADERS = frozenset(
    (
        *("from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "in-reply-to"),
        *("references", "received", "return-path", "delivered-to", "mime-version", "content-type"),
    )
)
# "From ", an address and a time, or an address alone as some programs write it; then a header line, or the From line of
# a mail that was put into the mbox with one.
_SEPARATOR = re.compile(
    rb"^From (?:[^\r\n]*\d{1,2}:\d\d[^\r\n]*\d{4}[^\r\n]*\r?\n(?=>?[!-9;-~]+[ \t]*:|From )"
    rb"|[^\s@]+@[^\s@]+[ \t]*\r?\n(?=>?[!-9;-~]+[ \t]*:))",
    re.M,
)
_UUENCODED = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]+)\r?\n((?:[ -`]{1,62}\r?\n)+)end[ \t]*(?:\r?\n|\Z)", re.M)
_ENDINGS = {
    "text/plain": "txt",
    "text/html": "htm",
    "text/calendar": "ics",
    "text/rfc822-headers": "txt",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "application/pdf": "pdf",
    "message/rfc822": "eml",
}
_NOWHERE = "nobody@mailbox.example"


class BadMail(BadItem):
    """A file that is no mail; `name` is the file, `sentence` says in plain words why."""


# --- one mail


def parse_mail(raw: bytes, name: str, fallback: datetime, folder: str = "inbox") -> MailFile:
    """A mail file as it is met in the wild; raises BadMail when it is none.

    `received` is the Date, or `fallback` where the mail has none that can be believed; `sender` is the author where
    the mail names no other. Texts have neither NUL nor lone surrogates, bodies have CRLF line ends. `headers` are
    unfolded but not decoded further, as Graph shows them. Anything damaged inside the mail is read as far as it goes.
    """
    mail = _without_envelope(raw)
    if not mail.strip(b"\r\n\t \x00"):
        raise BadMail(name, "The file is empty.")
    headers, body = mailparse.split_head(mail)
    if not any(key.lower() in _MAIL_HEADERS for key, _ in headers):
        raise BadMail(name, _why_no_mail(mail))
    root = mailparse.part_of(headers, body)
    hint = _charset(root)
    found = _found(root)
    content, is_html = _joined(found.texts)
    sent = mailparse.moment(_text(headers, "date", hint))
    author, sender = (next(iter(_parties(headers, key, hint)), None) for key in ("from", "sender"))
    return MailFile(
        name=name,
        subject=mailparse.one_line(mailparse.words(_text(headers, "subject", hint))),
        author=author,
        sender=sender or author,
        to=_parties(headers, "to", hint),
        cc=_parties(headers, "cc", hint),
        bcc=_parties(headers, "bcc", hint),
        reply_to=_parties(headers, "reply-to", hint),
        message_id=mailparse.message_id(_text(headers, "message-id", hint)),
        sent=sent,
        received=sent or fallback,
        body=content,
        html=is_html,
        attachments=tuple(_attachment(part, number, content) for number, part in enumerate(found.files, 1)),
        headers=tuple((key, mailparse.one_line(mailparse.decode(value, "", hint))) for key, value in headers),
        raw=mail,
        folder=folder,
    )


def _why_no_mail(raw: bytes) -> str:
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        return "The file is an Outlook .msg file, which is not read; save the mail as .eml."
    kind = "binary data" if b"\x00" in raw[:4096] else "text without a mail header"
    return f"The file is no mail but {kind}."


def _charset(part: Part) -> str:
    """The first charset a text of the mail names; its 8-bit headers are likely to be in it too."""
    inside = (charset for child in part.parts for charset in [_charset(child)] if charset)
    return part.settings.get("charset", "") if part.kind.startswith("text/") else next(inside, "")


def _without_envelope(raw: bytes) -> bytes:
    mail = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if b"\n" not in mail:
        mail = mail.replace(b"\r", b"\n")
    return re.sub(rb"\A>?From (?![ \t]*:)[^\n]*(?:\n|\Z)", b"", mail)


def _text(headers: Headers, name: str, hint: str) -> str:
    return mailparse.decode(mailparse.header(headers, name), "", hint)


def _parties(headers: Headers, name: str, hint: str) -> tuple[Party, ...]:
    texts = (mailparse.decode(value, "", hint) for key, value in headers if key.lower() == name)
    return tuple(party for text in texts for party in parties(text))


@dataclass(frozen=True, slots=True)
class _Found:
    """What a part holds for the reader: (is it HTML, text) in order, and files."""

    texts: tuple[tuple[bool, str], ...] = ()
    files: tuple[Part, ...] = ()

    @property
    def html(self) -> bool:
        return any(is_html for is_html, _ in self.texts)


def _found(part: Part, alone: bool = True) -> _Found:
    if not part.parts:
        return _leaf(part, alone)
    inside = [_found(child, alone=False) for child in part.parts]
    files = tuple(file for one in inside for file in one.files)
    if part.kind == "multipart/alternative":
        best = max(inside, key=lambda one: (bool(one.texts), one.html))
        return _Found(best.texts, files)
    return _Found(tuple(text for one in inside for text in one.texts), files)


def _leaf(part: Part, alone: bool) -> _Found:
    shown = part.kind in ("text/plain", "text/html", "text/enriched") and part.disposition != "attachment"
    if not shown or (part.name and not alone):
        return _Found(files=(part,)) if part.content or part.name else _Found()
    content, files = _without_uuencoded(part.content) if part.kind == "text/plain" else (part.content, ())
    text = mailparse.decode(content, part.settings.get("charset", "") or _meta_charset(part))
    text = re.sub(r"\r\n|\r|\n", "\r\n", text)
    return _Found(((part.kind == "text/html", text),) if text.strip() else (), files)


def _without_uuencoded(content: bytes) -> tuple[bytes, tuple[Part, ...]]:
    """Files that old mail programs wrote right into the text."""
    files = tuple(
        Part(
            "application/octet-stream",
            {},
            "attachment",
            mailparse.one_line(mailparse.decode(block[1])),
            "",
            mailparse.uudecode(block[2]),
        )
        for block in _UUENCODED.finditer(content)
    )
    return _UUENCODED.sub(b"", content) if files else content, files


def _meta_charset(part: Part) -> str:
    found = re.search(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", part.content[:4096], re.I)
    return found[1].decode("ascii", "ignore") if found and part.kind == "text/html" else ""


def _joined(texts: tuple[tuple[bool, str], ...]) -> tuple[str, bool]:
    if not any(is_html for is_html, _ in texts):
        return "\r\n".join(text for _, text in texts), False
    return "\r\n".join(text if is_html else _as_html(text) for is_html, text in texts), True


def _as_html(text: str) -> str:
    return "<div>" + html.escape(text, quote=False).strip().replace("\r\n", "<br>\r\n") + "</div>"


def _attachment(part: Part, number: int, body: str) -> Attachment:
    name = part.name
    if not name and part.kind == "message/rfc822":
        name = mailparse.one_line(mailparse.words(_text(mailparse.split_head(part.content)[0], "subject", "")))
    shown = part.disposition == "inline" or bool(part.content_id and f"cid:{part.content_id}" in body)
    return Attachment(
        name=name or f"ATT{number:05}.{_ENDINGS.get(part.kind, 'dat')}",
        content_type=part.kind,
        content=part.content,
        content_id=part.content_id,
        inline=shown,
    )


# --- a folder or mbox of mail


def firm_of(path: Path, owner: str = "") -> Firm:
    """A folder (any depth, any file names, mbox files too) or one mbox or mail file as one mailbox.

    The mailbox belongs to the most frequent recipient, or to `owner`. Everybody else becomes a contact, but for every
    tenth by digest, who is left unknown. Files that are no mail stand in `broken` with their reason. A mail without a
    readable date comes one second after the one before it. Raises BadMail for a path or an owner that cannot be used.
    """
    if owner and not usable(owner.strip()):
        raise BadMail("OWNER", f"{owner!r} is not a mail address.")
    mails, broken = _read(path)
    mails = _dated(mails)
    address = fold(owner) or _most_frequent_recipient(mails)
    names = _names(mails)
    contacts, unknown = _split(sorted(set(names) - {address}))
    return Firm(
        name=mailparse.one_line(path.resolve().name) or "mail",
        domains=(),
        mailboxes=(
            FirmMailbox(
                address,
                names.get(address) or address,
                mail=tuple(replace(mail, folder=_folder(mail, address)) for mail in mails),
            ),
        ),
        contacts=tuple(Client(names[one] or one, (one,)) for one in contacts),
        unknown=unknown,
        broken=broken,
        since="all",
    )


_UNDATED = datetime(2000, 1, 1, tzinfo=UTC)


def _read(path: Path) -> tuple[list[MailFile], tuple[BrokenFile, ...]]:
    mails: list[MailFile] = []
    broken: list[BrokenFile] = []
    for name, file in _files(path):
        try:
            raw = file.read_bytes()
        except OSError as error:
            broken.append(BrokenFile(name, f"The file cannot be read: {error.strerror}."))
            continue
        for label, piece in _messages(raw, name):
            try:
                mails.append(parse_mail(piece, label, _UNDATED))
            except BadMail as bad:
                broken.append(BrokenFile(bad.name, bad.sentence))
    return mails, tuple(broken)


def _files(path: Path) -> list[tuple[str, Path]]:
    if path.is_dir():
        found = [(file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file()]
        return sorted((mailparse.clean(name), file) for name, file in found)
    if path.is_file():
        return [(mailparse.clean(path.name), path)]
    raise BadMail(str(path), f"There is no folder and no mail file at {path}.")


def _messages(raw: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """The mails of a file: the parts of an mbox (a separator follows an empty line and a header follows it), or one."""
    if not raw.lstrip(b"\r\n").startswith(b"From "):
        yield name, raw
        return
    starts = [0]
    starts += [mark.start() for mark in _SEPARATOR.finditer(raw) if _behind_empty_line(raw, mark.start())]
    if len(starts) == 1:
        yield name, _unquoted(raw)
        return
    for number, (start, end) in enumerate(pairwise((*starts, len(raw))), 1):
        # The empty line before a separator belongs to the mbox, not to the mail.
        yield f"{name} ({number})", _unquoted(re.sub(rb"(?<=\n)\r?\n\Z", b"", raw[start:end]))


def _behind_empty_line(raw: bytes, place: int) -> bool:
    return bool(re.search(rb"\n\r?\n\Z", raw[max(0, place - 3) : place]))


def _unquoted(raw: bytes) -> bytes:
    return re.sub(rb"^>(>*From )", rb"\1", raw, flags=re.M)


def _dated(mails: list[MailFile]) -> list[MailFile]:
    """Mails without a date take their place: a second after the one before, or before the first dated one."""
    first = next((place for place, mail in enumerate(mails) if mail.sent), 0)
    start = (mails[first].sent if mails else None) or _UNDATED
    out: list[MailFile] = []
    for mail in mails:
        after = out[-1].received + timedelta(seconds=1) if out else start - timedelta(seconds=first)
        out.append(mail if mail.sent else replace(mail, received=after))
    return out


def _most_frequent_recipient(mails: Iterable[MailFile]) -> str:
    counted: Counter[str] = Counter()
    for mail in mails:
        counted.update({fold(party.address) for party in _recipients(mail) if usable(party.address)})
    return min(counted, key=lambda one: (-counted[one], one)) if counted else _NOWHERE


def _recipients(mail: MailFile) -> tuple[Party, ...]:
    delivered = (party for key, value in mail.headers if key.lower() == "delivered-to" for party in parties(value))
    return (*mail.to, *mail.cc, *delivered)


def _names(mails: Iterable[MailFile]) -> dict[str, str]:
    """Every usable address with the name most mails give it (the longer, then the first in order, of equals)."""
    counted: dict[str, Counter[str]] = {}
    for mail in mails:
        people = [one for one in (mail.author, mail.sender) if one]
        for party in {*people, *mail.to, *mail.cc, *mail.bcc, *_recipients(mail)}:
            if usable(party.address):
                counted.setdefault(fold(party.address), Counter())[party.name] += bool(party.name)
    return {address: _usual(names) for address, names in counted.items()}


def _usual(names: Counter[str]) -> str:
    return min(names, key=lambda name: (-names[name], -len(name), name))


def _split(addresses: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Every tenth in the order of a digest is left unknown, so that the same folder always gives the same firm."""
    order = sorted(addresses, key=lambda one: blake2b(one.encode(), digest_size=8).digest())
    unknown = order[::10] if len(order) > 1 else []
    return sorted(set(addresses) - set(unknown)), tuple(sorted(unknown))


def _folder(mail: MailFile, owner: str) -> str:
    written = (mail.author, mail.sender)
    return "sentitems" if any(party and fold(party.address) == owner for party in written) else "inbox"
