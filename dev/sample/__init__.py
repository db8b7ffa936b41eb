"""Harbour & Finch: an advisory firm that does not exist, with its mail of the last seven months."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

from dev.firm import Client, Firm, FirmMailbox, MailFile, Party
from dev.mailfiles import parse_mail
from sync.keys import fold

SAMPLE: Path = Path(__file__).parent
SAMPLE_CONTACTS: Path = SAMPLE / "contacts.csv"

# The two places where a mail says when it was: its own Date, and the end of each Received line.
_DATES = re.compile(rb"^(Date: |Received: [^\r\n]*(?:\r\n[ \t][^\r\n]*)*;\s+)(\w{3}, \d[^\r\n]*\d)(?=\r\n)", re.M)


def sample_firm(day: date) -> Firm:
    """The sample firm as it stands in the morning of `day`: its newest mail came the day before.

    All dates of all mails are shifted by the same number of days, in the raw bytes too; the same day always gives an
    equal firm. Contacts are the rows of SAMPLE_CONTACTS that have an address.
    """
    plan = json.loads((SAMPLE / "firm.json").read_text("utf-8"))
    shift = day - date.fromisoformat(plan["day"])
    mailboxes = tuple(
        FirmMailbox(
            one["address"], one["name"], tuple(one["aliases"]), _mail(SAMPLE / "mail" / one["folder"], shift, day)
        )
        for one in plan["mailboxes"]
    )
    contacts = _contacts()
    known = {address for client in contacts for address in client.addresses}
    return Firm(
        name=plan["name"],
        domains=tuple(plan["domains"]),
        mailboxes=mailboxes,
        contacts=contacts,
        unknown=_unknown(mailboxes, known, plan["domains"]),
    )


def _mail(folder: Path, shift: timedelta, day: date) -> tuple[MailFile, ...]:
    dawn = datetime.combine(day - timedelta(days=1), time(), UTC)
    return tuple(
        parse_mail(
            shifted(file.read_bytes(), shift),
            file.relative_to(folder.parent).as_posix(),
            dawn,
            file.parent.relative_to(folder).as_posix(),
        )
        for file in sorted(folder.rglob("*.eml"), key=lambda file: file.relative_to(folder).as_posix())
    )


def shifted(raw: bytes, shift: timedelta) -> bytes:
    """A mail with the dates in its header moved; the time of day and the offset stay."""
    head, gap, body = raw.partition(b"\r\n\r\n")

    def moved(found: re.Match[bytes]) -> bytes:
        when = parsedate_to_datetime(found[2].decode("ascii")) + shift
        return found[1] + format_datetime(when).encode("ascii")

    return _DATES.sub(moved, head + b"\r\n")[:-2] + gap + body


def _contacts() -> tuple[Client, ...]:
    with SAMPLE_CONTACTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    people = ((f"{row['First Name']} {row['Last Name']}".strip(), _addresses(row)) for row in rows)
    return tuple(Client(name, addresses) for name, addresses in people if addresses)


def _addresses(row: dict[str, str]) -> tuple[str, ...]:
    both = (row["E-mail Address"].strip(), row["E-mail 2 Address"].strip())
    return tuple(address for address in both if address)


def _unknown(mailboxes: Iterable[FirmMailbox], known: set[str], domains: Sequence[str]) -> tuple[str, ...]:
    everybody = {fold(party.address) for box in mailboxes for mail in box.mail for party in _parties(mail)}
    return tuple(sorted(one for one in everybody - known if one and one.rpartition("@")[2] not in domains))


def _parties(mail: MailFile) -> tuple[Party, ...]:
    return tuple(one for one in (mail.author, mail.sender) if one) + mail.to + mail.cc + mail.bcc
