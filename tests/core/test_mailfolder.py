"""A folder or mbox of somebody's own mail: whose mailbox it becomes, who stays unknown, what is broken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dev.mailaddress import usable
from dev.mailfiles import BadMail, firm_of


def a_mail(
    *lines: str, body: str = "Hello", frm: str = "rosa@bakery.example", to: str = "clara@firm.example", date: str = ""
) -> bytes:
    head = [f"From: {frm}", f"To: {to}", *([f"Date: {date}"] if date else []), *lines]
    return "\r\n".join([*head, "", body, ""]).encode()


def folder_with(path: Path, **files: bytes) -> Path:
    for name, raw in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)
    return path


def test_the_most_frequent_recipient_owns_the_folder(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        a=a_mail(to="Clara <clara@firm.example>"),
        b=a_mail(to="CLARA@firm.example, owen@firm.example"),
        c=a_mail(to="owen@firm.example", frm="clara@firm.example"),
        d=a_mail("Delivered-To: clara@firm.example", to="list@club.example"),
    )

    (mailbox,) = firm_of(folder).mailboxes

    assert (mailbox.address, mailbox.name) == ("clara@firm.example", "Clara")
    assert [mail.folder for mail in mailbox.mail] == ["inbox", "inbox", "sentitems", "inbox"]


def test_a_tie_between_recipients_is_always_broken_the_same_way(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, a=a_mail(to="b@x.example, a@x.example"))

    assert firm_of(folder).mailboxes[0].address == "a@x.example"


def test_an_owner_may_be_named_even_if_he_never_occurs(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, a=a_mail())

    firm = firm_of(folder, owner="Somebody@Else.example")

    assert firm.mailboxes[0].address == "somebody@else.example"
    assert {*(client.addresses[0] for client in firm.contacts), *firm.unknown} == {
        "clara@firm.example",
        "rosa@bakery.example",
    }


def test_an_owner_who_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMail, match="'clara' is not a mail address"):
        firm_of(tmp_path, owner="clara")


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMail, match="no folder and no mail file"):
        firm_of(tmp_path / "nowhere")


def test_all_correspondents_but_every_tenth_become_contacts(tmp_path: Path) -> None:
    everybody = [f"Person {n} <p{n}@x.example>" for n in range(25)]
    folder = folder_with(tmp_path, a=a_mail(to="me@x.example"), b=a_mail(to="me@x.example", frm=", ".join(everybody)))
    folder = folder_with(folder, c=a_mail(to="me@x.example, not-usable, " + ", ".join(everybody)))

    firm = firm_of(folder)

    assert len(firm.unknown) == 3
    assert len(firm.contacts) == 26 - 3
    assert all(len(client.addresses) == 1 for client in firm.contacts)
    assert {client.name for client in firm.contacts} <= {"rosa@bakery.example", *(f"Person {n}" for n in range(25))}
    assert firm == firm_of(folder)


def test_of_two_correspondents_one_stays_unknown_and_a_single_one_does_not(tmp_path: Path) -> None:
    two = firm_of(folder_with(tmp_path / "two", a=a_mail(), b=a_mail(frm="amira@gardens.example")))
    one = firm_of(folder_with(tmp_path / "one", a=a_mail()))

    assert (len(two.contacts), len(two.unknown)) == (1, 1)
    assert (len(one.contacts), len(one.unknown)) == (1, 0)


def test_the_firm_has_no_domain_and_no_start(tmp_path: Path) -> None:
    firm = firm_of(folder_with(tmp_path, a=a_mail()))

    assert (firm.domains, firm.since) == ((), "all")


def test_mails_without_a_date_take_their_place_in_the_folder(tmp_path: Path) -> None:
    noon = datetime(2025, 3, 1, 12, tzinfo=UTC)
    folder = folder_with(
        tmp_path,
        a=a_mail(),
        b=a_mail(date="never"),
        c=a_mail(date="Sat, 1 Mar 2025 12:00:00 +0000"),
        d=a_mail(),
        e__f=a_mail(),
        g=a_mail(date="Sun, 2 Mar 2025 12:00:00 +0000"),
    )

    received = [mail.received - noon for mail in firm_of(folder).mailboxes[0].mail]

    assert received == [timedelta(seconds=n) for n in (-2, -1, 0, 1, 2)] + [timedelta(days=1)]


def test_broken_files_are_named_and_nothing_is_lost_beside_them(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, a=a_mail(), b=b"", deep__c=b"\x00\x01\x02", deep__d=a_mail())

    firm = firm_of(folder)

    assert [mail.name for mail in firm.mailboxes[0].mail] == ["a", "deep/d"]
    assert [(one.name, one.why) for one in firm.broken] == [
        ("b", "The file is empty."),
        ("deep/c", "The file is no mail but binary data."),
    ]


def test_a_folder_without_any_mail_is_an_empty_mailbox(tmp_path: Path) -> None:
    firm = firm_of(folder_with(tmp_path, a=b""))

    assert [mailbox.mail for mailbox in firm.mailboxes] == [()]
    assert usable(firm.mailboxes[0].address)


def test_the_same_file_twice_stays_twice(tmp_path: Path) -> None:
    firm = firm_of(folder_with(tmp_path, a=a_mail(), b=a_mail()))

    assert len(firm.mailboxes[0].mail) == 2


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_an_mbox_is_split_at_its_separators_only(tmp_path: Path, end: str) -> None:
    mbox = (
        "From rosa@bakery.example Wed Aug 13 07:12:00 2025\n"
        "From: rosa@bakery.example\nTo: clara@firm.example\nSubject: one\n\n"
        ">From the first line on.\n>>From deeper.\n\nFrom here to there it is text.\n\n"
        "From MAILER-DAEMON Thu Aug 14 07:12:00 2025\n"
        "From: amira@gardens.example\nTo: clara@firm.example\nSubject: two\n\nsecond\n\n"
        "From nobody Fri Aug 15 07:12:00 2025\n"
        "no mail at all\n"
    )
    file = tmp_path / "export.mbox"
    file.write_bytes(mbox.replace("\n", end).encode())

    firm = firm_of(file)

    assert [(mail.name, mail.subject, mail.body) for mail in firm.mailboxes[0].mail] == [
        (
            "export.mbox (1)",
            "one",
            "From the first line on.\r\n>From deeper.\r\n\r\nFrom here to there it is text.\r\n",
        ),
        (
            "export.mbox (2)",
            "two",
            "second\r\n\r\nFrom nobody Fri Aug 15 07:12:00 2025\r\nno mail at all\r\n",
        ),
    ]
    assert firm.mailboxes[0].mail[1].raw.startswith(b"From: amira")


def test_an_mbox_may_lie_in_a_folder(tmp_path: Path) -> None:
    one = b"From a@b.example Wed Aug 13 07:12:00 2025\n" + a_mail("Subject: s").replace(b"\r\n", b"\n") + b"\n"

    firm = firm_of(folder_with(tmp_path, sub__box=one * 3, single=a_mail()))

    assert [mail.name for mail in firm.mailboxes[0].mail] == ["single", "sub/box (1)", "sub/box (2)", "sub/box (3)"]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_separator_without_a_time_splits_an_mbox_too(tmp_path: Path, end: str) -> None:
    mbox = (
        "From rosa@bakery.example\n"
        "From: rosa@bakery.example\nTo: clara@firm.example\nSubject: one\n\n"
        "From rosa@bakery.example\nwith love.\n\n"
        "From rosa@bakery.example we heard:\nSubject: none\nFrom rosa@bakery.example\nTo: nobody\n\n"
        "From amira@gardens.example\n"
        "From: amira@gardens.example\nTo: clara@firm.example\nSubject: two\n\nsecond\n"
    )
    file = tmp_path / "export.mbox"
    file.write_bytes(mbox.replace("\n", end).encode())

    mails = firm_of(file).mailboxes[0].mail

    assert [mail.subject for mail in mails] == ["one", "two"]
    assert mails[0].body.endswith("From rosa@bakery.example\r\nTo: nobody\r\n")
    assert mails[1].raw.startswith(b"From: amira")
