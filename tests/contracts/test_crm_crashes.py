"""A worker of the CRM may be killed before or after any write: doing it again ends where an undisturbed one ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dev.memory import ManualClock, MemoryTables
from sync.crm.builtin import Builtin
from sync.model import Address, Known, MailRecord
from sync.storage import Storage
from tests.contracts.crm_world import (
    ADA,
    CAROL,
    EVE,
    ROSA,
    Killed,
    Section,
    a_crowd,
    a_mail,
    a_worker,
    all_changes,
    gapless,
)

CSV = "Name,Email,Email 2\nRosa,rosa@client.example,r@home.example\nEve,eve@client.example,\nJoe,rosa@client.example,\n"

lost_and_refused = pytest.mark.parametrize("lose_answer", [False, True], ids=["before a write", "after a write"])


def the_mails() -> list[MailRecord]:
    """One of each sort."""
    return [
        a_mail(1, people=(ROSA, CAROL)),
        a_mail(2, html="x" * 40_000, to=tuple(Address("", f"{number}@x.example") for number in range(3000))),
        a_mail(3, people=a_crowd(120)),
        a_mail(1, id="the sent copy", people=(ROSA, EVE)),
        a_mail(2, id="another subject", subject="Invoice", html="y" * 40_000),
        a_mail(4, sent=None),
        a_mail(5, mailbox="b" * 32),
    ]


def capture(crm: Builtin) -> None:
    """As the capture of mail does it: what this mailbox is known to have shown is not handed in again."""
    known = crm.known(ADA, {one.key for one in the_mails()})
    fresh = [one for one in the_mails() if one.key not in known or one.envelope.id not in known[one.key].items]
    crm.keep(fresh)


def capture_all_again(crm: Builtin) -> None:
    """A replay that asks nothing."""
    crm.keep(the_mails())


def import_contacts(crm: Builtin) -> None:
    crm.import_contacts(CSV)


def change_a_contact(crm: Builtin) -> None:
    key = "c" + "f" * 32
    if crm.contact(key) is None:
        crm.save_contact("Rosa", ["rosa@client.example", "old@client.example"], key)
    crm.save_contact("Rosa Married", ["rosa@client.example", "new@client.example"], key)


@lost_and_refused
@pytest.mark.parametrize("work", [capture, capture_all_again, import_contacts, change_a_contact])
def test_whoever_is_killed_at_any_write_can_be_repeated(
    storage: Storage, clock: ManualClock, work: Callable[[Builtin], None], lose_answer: bool
) -> None:
    undisturbed = Section(storage.tables, storage.blobs, "undisturbed-")
    work(a_worker(undisturbed, clock))
    expected = undisturbed.contents()
    writes = -1 - undisturbed.fuse
    step = 1 if isinstance(storage.tables, MemoryTables) else 1 + writes // 3  # a real storage takes its time

    for write in range(1, writes + 1, step):
        section = Section(storage.tables, storage.blobs, f"killed{write}-")
        section.fuse, section.lose_answer = write, lose_answer
        with pytest.raises(Killed):
            work(a_worker(section, clock))
        survivor = a_worker(section, clock)
        work(survivor)

        changes = all_changes(survivor, 100)
        assert section.contents() == expected, f"killed at write {write}"
        assert gapless(changes), f"killed at write {write}"
        assert {one.key for one in changes} == {key[2:] for _, key in expected["CrmRecords"] if key.count("|") == 1}
        mail = survivor.mail(a_mail(2).key)
        assert mail is None or (len(mail.html), len(mail.to)) == (40_000, 3000)


@lost_and_refused
def test_a_mail_whose_timeline_was_not_written_does_not_count_as_shown(
    storage: Storage, clock: ManualClock, lose_answer: bool
) -> None:
    section = Section(storage.tables, storage.blobs, "killed-")
    section.fuse, section.lose_answer = (2, False) if not lose_answer else (1, True)
    mail = a_mail()

    with pytest.raises(Killed):
        a_worker(section, clock).keep([mail])
    survivor = a_worker(section, clock)
    before = survivor.known(ADA, [mail.key])
    survivor.keep([mail])
    after = survivor.known(ADA, [mail.key])

    assert before[mail.key] == Known(True, (), frozenset({ROSA.key}))
    assert after[mail.key] == Known(True, (mail.envelope.id,), frozenset({ROSA.key}))
