"""The sample firm: small, plainly invented, and the same every time it is asked for."""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from dev.firm import Firm, FirmMailbox, MailFile
from dev.mailaddress import parties
from dev.sample import SAMPLE, SAMPLE_CONTACTS, sample_firm, shifted

DAY = date(2026, 3, 10)


@pytest.fixture(scope="module")
def firm() -> Firm:
    return sample_firm(DAY)


def all_mail(firm: Firm) -> list[MailFile]:
    return [mail for mailbox in firm.mailboxes for mail in mailbox.mail]


def the_mail(firm: Firm, name: str) -> MailFile:
    (found,) = [mail for mail in all_mail(firm) if mail.name == name]
    return found


def boxes_of(firm: Firm, message_id: str) -> list[str]:
    def holds(mailbox: FirmMailbox) -> bool:
        return any(mail.message_id == message_id for mail in mailbox.mail)

    return [mailbox.address.split("@")[0] for mailbox in firm.mailboxes if holds(mailbox)]


def test_every_mailbox_and_folder_holds_its_mail(firm: Firm) -> None:
    counts = {mailbox.address.split("@")[0]: Counter(one.folder for one in mailbox.mail) for mailbox in firm.mailboxes}

    assert counts == {
        "clara.finch": {"inbox": 16, "inbox/Clients": 3, "sentitems": 7, "drafts": 1},
        "owen.harbour": {"inbox": 14, "sentitems": 7, "deleteditems": 1},
        "mina.adler": {"inbox": 10, "sentitems": 5},
        "clients": {"inbox": 11, "sentitems": 2, "junkemail": 1},
    }
    assert len({mail.message_id for mail in all_mail(firm)}) == 56


def test_every_file_is_small_and_readable(firm: Firm) -> None:
    files = list((SAMPLE / "mail").rglob("*.eml"))

    assert len(files) == len(all_mail(firm))
    assert all(file.stat().st_size < 8192 for file in files)
    for mail in all_mail(firm):
        assert mail.author is not None
        assert mail.subject
        assert mail.body.strip()
        assert mail.sent == mail.received
        assert "\ufffd" not in mail.subject + mail.body


def test_the_same_day_gives_an_equal_firm(firm: Firm) -> None:
    assert sample_firm(DAY) == firm


@pytest.mark.parametrize("day", [DAY, date(2026, 1, 15), date(2024, 2, 29), date(2031, 12, 31)])
def test_the_newest_mail_came_the_day_before(day: date) -> None:
    newest = max(mail.received for mail in all_mail(sample_firm(day)))

    assert newest.date() == day - timedelta(days=1)


@pytest.mark.parametrize("day", [DAY, date(2026, 8, 31), date(2026, 9, 1), date(2027, 3, 1), date(2028, 8, 29)])
def test_exactly_one_mail_is_older_than_six_months(day: date) -> None:
    month = (day.month - 7) % 12 + 1
    six_months_ago = datetime(day.year - (day.month < 7), month, min(day.day, 28), tzinfo=UTC)

    old = [mail.name for mail in all_mail(sample_firm(day)) if mail.received < six_months_ago]

    assert old == ["clara/inbox/01-old-engagement.eml"]


def test_the_raw_mail_shows_the_shifted_dates_too(firm: Firm) -> None:
    for mail in all_mail(firm):
        (shown,) = re.findall(rb"^Date: ([^\r\n]+)\r\n", mail.raw, re.M)

        assert parsedate_to_datetime(shown.decode()) == mail.sent
        assert dict(mail.headers)["Date"] == shown.decode()
        received = dict(mail.headers).get("Received")
        if received:
            assert parsedate_to_datetime(received.rpartition("; ")[2]) - mail.received == timedelta(seconds=7)


def test_shifting_keeps_the_time_of_day_and_the_rest_of_the_mail() -> None:
    raw = b"Date: Thu, 15 Jan 2026 10:02:00 +0900\r\nSubject: s\r\n\r\nDate: Thu, 15 Jan 2026 10:02:00 +0900\r\n"

    moved = shifted(raw, timedelta(days=20))

    assert moved == (
        b"Date: Wed, 04 Feb 2026 10:02:00 +0900\r\nSubject: s\r\n\r\nDate: Thu, 15 Jan 2026 10:02:00 +0900\r\n"
    )


def test_every_address_and_every_message_id_is_an_example(firm: Firm) -> None:
    named = re.compile(r"[\w.+-]+@[\w.-]+")

    found = {one for file in SAMPLE.rglob("*.eml") for one in named.findall(file.read_text("latin-1"))}
    found |= {one for mail in all_mail(firm) for one in named.findall(mail.body)}
    found |= set(named.findall(SAMPLE_CONTACTS.read_text("utf-8")))
    found |= {mailbox.address for mailbox in firm.mailboxes}

    assert len(found) > 50
    assert [one for one in found if not one.endswith(".example")] == []


def test_one_mail_to_three_colleagues_stands_in_three_mailboxes_under_one_id(firm: Firm) -> None:
    message_id = the_mail(firm, "mina/inbox/04-haulage-audit.eml").message_id

    assert boxes_of(firm, message_id) == ["clara.finch", "owen.harbour", "mina.adler"]


def test_a_blind_copy_is_seen_by_its_sender_only(firm: Firm) -> None:
    sent = the_mail(firm, "owen/sentitems/04-haulage-audit-re.eml")
    copy = the_mail(firm, "clara/inbox/09-haulage-audit-re.eml")

    assert sent.message_id == copy.message_id
    assert [party.address for party in sent.bcc] == ["clara.finch@harbour-finch.example"]
    assert copy.bcc == ()
    assert "clara" not in "".join(party.address for party in copy.to + copy.cc)


def test_replies_name_the_mails_before_them(firm: Firm) -> None:
    known = {mail.message_id for mail in all_mail(firm)}
    replies = [
        dict(mail.headers)["References"].split() for mail in all_mail(firm) if "References" in dict(mail.headers)
    ]

    assert len(replies) > 20
    assert {one for references in replies for one in references} <= known


def test_the_mails_come_in_the_forms_mail_comes_in(firm: Firm) -> None:
    forms = Counter(form.lower() for mail in all_mail(firm) for form in _forms(mail.raw))

    for form in (
        *("charset=iso-2022-jp", 'charset="iso-8859-1"', 'charset="utf-8"', 'charset="us-ascii"'),
        *("encoding: base64", "encoding: quoted-printable", "encoding: 8bit", "encoding: 7bit"),
        *("multipart/alternative", "multipart/mixed", "multipart/related", "text/html"),
    ):
        assert forms[form], form


def _forms(raw: bytes) -> list[str]:
    return re.findall(r"charset=[^\s;]+|encoding: [\w-]+|multipart/\w+|text/html", raw.decode("latin-1"), re.I)


def test_mail_in_other_scripts_reads_well(firm: Firm) -> None:
    japanese = the_mail(firm, "mina/inbox/06-tools-greeting.eml")
    german = the_mail(firm, "owen/inbox/05-optik-loan.eml")

    assert japanese.author is not None
    assert (japanese.author.name, japanese.subject) == ("森田健二", "決算資料の件")
    assert "在庫の一覧は英語でよろしいでしょうか" in japanese.body
    assert "Viele Grüße" in german.body
    assert german.subject == "Darlehen für das Prüfgerät"


def test_there_are_attachments_and_an_inline_image(firm: Firm) -> None:
    files = [one for mail in all_mail(firm) for one in mail.attachments]
    (image,) = [one for one in files if one.inline]

    assert image.content.startswith(b"\x89PNG")
    assert f"cid:{image.content_id}" in the_mail(firm, "owen/sentitems/05-fisk-currency-re.eml").body
    assert {"draft-lease.pdf", "clinic-figures.csv", "在庫一覧.csv"} <= {one.name for one in files}


def test_the_contacts_are_the_rows_with_an_address(firm: Firm) -> None:
    with SAMPLE_CONTACTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    without = [row["Last Name"] for row in rows if not row["E-mail Address"]]
    assert list(rows[0]) == ["First Name", "Last Name", "E-mail Address", "E-mail 2 Address", "Company"]
    assert without == ["Brandt"]
    assert len(firm.contacts) == len(rows) - 1 == 12
    assert all(client.name and client.addresses for client in firm.contacts)
    assert sum(len(client.addresses) > 1 for client in firm.contacts) == 3


def test_a_household_shares_an_address(firm: Firm) -> None:
    uses = Counter(address for client in firm.contacts for address in client.addresses)

    assert [address for address, count in uses.items() if count > 1] == ["family@ward-household.example"]


def test_some_correspondents_are_no_contacts(firm: Firm) -> None:
    known = {address for client in firm.contacts for address in client.addresses}
    wrote = {party.address for mail in all_mail(firm) for party in parties(dict(mail.headers)["From"])}

    assert "newsletter@market-letter.example" in firm.unknown
    assert "h.lang@lang-interiors.example" in firm.unknown
    assert set(firm.unknown) == {one for one in wrote - known if not one.endswith("@harbour-finch.example")}
    assert known <= {*wrote, *(party.address for mail in all_mail(firm) for party in mail.to + mail.cc)}


def test_the_firm_knows_its_own(firm: Firm) -> None:
    assert firm.domains == ("harbour-finch.example",)
    assert [mailbox.address for mailbox in firm.mailboxes] == [
        "clara.finch@harbour-finch.example",
        "owen.harbour@harbour-finch.example",
        "mina.adler@harbour-finch.example",
        "clients@harbour-finch.example",
    ]
    assert (firm.since, firm.broken) == ("", ())
