"""Mail made on the spot: a MailFile from keywords, and MIME for mail that came without its raw bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from dev.firm import Attachment, MailFile, Party

Who = str | Party
# The headers that a mail is given beside its fields and that can stand in MIME as they are.
_HEADER = re.compile(r"x-[\w-]+|in-reply-to|references|auto-submitted|precedence|list-[\w-]+", re.ASCII | re.IGNORECASE)


def party(who: Who) -> Party:
    """A Party from "Name <address>", an address or a Party."""
    if isinstance(who, Party):
        return who
    name, address = parseaddr(who)
    return Party(name, address)


def composed(
    *,
    author: Who | None,
    message_id: str,
    received: datetime,
    subject: str = "",
    body: str = "",
    html: bool = True,
    sender: Who | None = None,
    to: Sequence[Who] = (),
    cc: Sequence[Who] = (),
    bcc: Sequence[Who] = (),
    reply_to: Sequence[Who] = (),
    sent: datetime | None = None,
    folder: str = "inbox",
    attachments: Sequence[Attachment] = (),
    headers: Sequence[tuple[str, str]] = (),
    name: str = "",
) -> MailFile:
    """A mail from its fields; without raw bytes, so MIME is written when somebody asks for it."""
    return MailFile(
        name=name or message_id,
        subject=subject,
        author=party(author) if author else None,
        sender=party(sender) if sender else None,
        to=tuple(map(party, to)),
        cc=tuple(map(party, cc)),
        bcc=tuple(map(party, bcc)),
        reply_to=tuple(map(party, reply_to)),
        message_id=message_id,
        sent=sent,
        received=received,
        body=body,
        html=html,
        attachments=tuple(attachments),
        headers=tuple(headers),
        raw=b"",
        folder=folder,
    )


def mime(mail: MailFile) -> bytes:
    """The mail as RFC 822: its raw bytes, or a plain rendering of its fields."""
    if mail.raw:
        return mail.raw
    out = EmailMessage()
    for name, parties in (("From", (mail.author,)), ("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        text = ", ".join(_shown(one) for one in parties if one)
        if text:
            out[name] = text
    out["Subject"] = _line(mail.subject)
    if mail.message_id:
        out["Message-ID"] = _line(mail.message_id)
    out["Date"] = format_datetime(mail.sent or mail.received)
    for name, value in mail.headers:
        if _HEADER.fullmatch(name) and name not in out:
            out[name] = _line(value.encode("ascii", "replace").decode())
    out.set_content(mail.body, subtype="html" if mail.html else "plain")
    for file in mail.attachments:
        kind, _, subtype = file.content_type.partition("/")
        kind, subtype = (kind, subtype) if kind and subtype else ("application", "octet-stream")
        out.add_attachment(bytes(file.content), maintype=kind, subtype=subtype, filename=file.name)
    return out.as_bytes()


def _shown(one: Party) -> str:
    return _line(f"{one.name} <{one.address}>" if one.name else one.address)


def _line(text: str) -> str:
    return " ".join(text.split())
