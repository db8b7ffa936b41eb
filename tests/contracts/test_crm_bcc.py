"""Who is known from a Bcc alone is shown to admins, to the user whose mailbox told, and to himself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.memory import ManualClock, MemoryBlobs, MemoryTables
from sync.crm import records
from sync.crm.builtin import Builtin
from sync.model import Address, Known, MailRecord, Person
from sync.storage import Storage
from tests.builders import KEYS, NOON
from tests.contracts.crm_world import (
    ADA,
    BEN,
    CAROL,
    EVE,
    ROSA,
    Section,
    a_crowd,
    a_mail,
    a_worker,
    all_changes,
    told_by_bcc,
)

DAVE = Person("u" + "4" * 32, "user", "Dave Colleague")
MALLORY = "u" + "5" * 32
VIEWERS = (None, CAROL.key, DAVE.key, MALLORY)
JOE = Address("Joe", "joe@client.example")


@pytest.fixture
def crm(storage: Storage, clock: ManualClock) -> Builtin:
    return Builtin(storage.tables, storage.blobs, KEYS, clock)


def beside(crm: Builtin, key: str, viewer: str | None) -> dict[str, str]:
    """Who stands beside a mail for a viewer, with his role."""
    mail = crm.mail(key, viewer)
    assert mail is not None
    return {one.key: one.role for one in mail.relations}


def lines(crm: Builtin, person: Person, viewer: str | None) -> int:
    return len(crm.timeline(person.key, 100, viewer=viewer)[0])


def test_who_is_known_from_a_bcc_is_seen_by_the_owner_of_the_copy_and_by_admins(crm: Builtin) -> None:
    mail = told_by_bcc(a_mail(people=(EVE,)), (ROSA, CAROL))

    crm.keep([mail])

    for viewer, seen in ((None, True), (CAROL.key, True), (DAVE.key, False)):
        assert (ROSA.key in beside(crm, mail.key, viewer), lines(crm, ROSA, viewer)) == (seen, int(seen))
        assert (beside(crm, mail.key, viewer)[EVE.key], lines(crm, EVE, viewer)) == ("to", 1)


def test_a_user_who_got_a_mail_by_bcc_sees_it_on_his_own_timeline(crm: Builtin) -> None:
    mail = told_by_bcc(a_mail(), (DAVE, CAROL))

    crm.keep([mail])

    assert [lines(crm, DAVE, viewer) for viewer in VIEWERS] == [1, 1, 1, 0]
    assert DAVE.key in beside(crm, mail.key, DAVE.key)
    assert DAVE.key not in beside(crm, mail.key, MALLORY)


def test_a_mail_that_stands_for_hidden_contacts_alone_is_there_for_nobody_else(crm: Builtin) -> None:
    open_one = a_mail(2, people=(EVE,))
    mail = told_by_bcc(a_mail(people=(), bcc=(JOE,)), (ROSA, CAROL), (EVE, CAROL))
    crm.keep([mail, open_one])

    for viewer, seen in ((MALLORY, False), (CAROL.key, True), (None, True)):
        assert (crm.mail(mail.key, viewer) is not None) == seen
        thread = crm.thread(open_one.key, 10, viewer=viewer)
        assert thread is not None
        assert (mail.key in [line.key for line in thread[0]]) == seen
        assert crm.mail(open_one.key, viewer) is not None


def test_on_a_colleagues_timeline_such_a_mail_gives_nothing_away(crm: Builtin) -> None:
    mail = told_by_bcc(a_mail(people=(DAVE,), bcc=(JOE,)), (ROSA, CAROL))
    crm.keep([mail])

    assert [line.key for line in crm.timeline(DAVE.key, 10)[0]] == [mail.key]
    assert crm.timeline(DAVE.key, 10, viewer=MALLORY)[0] == []
    assert crm.mail(mail.key, DAVE.key) is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_copies_in_any_order_end_alike_and_open_wins_for_good(crm: Builtin, order: tuple[int, ...]) -> None:
    copies = [
        told_by_bcc(a_mail(people=()), (ROSA, CAROL), (EVE, CAROL)),
        told_by_bcc(a_mail(mailbox=BEN, people=()), (ROSA, DAVE), (EVE, DAVE)),
        a_mail(mailbox="e" * 32, people=(ROSA,)),
    ]
    key = copies[0].key

    for position in order:
        crm.keep([copies[position]])
    crm.keep([copies[position] for position in order])

    admin = crm.mail(key)
    assert admin is not None
    assert {one.key: (one.role, one.only) for one in admin.relations} == {
        ROSA.key: ("to", ()),
        EVE.key: ("bcc", (CAROL.key, DAVE.key)),
    }
    assert [lines(crm, ROSA, viewer) for viewer in VIEWERS] == [1, 1, 1, 1]
    assert [lines(crm, EVE, viewer) for viewer in VIEWERS] == [1, 1, 1, 0]
    assert beside(crm, key, MALLORY) == {ROSA.key: "to"}


def test_a_viewer_is_told_of_no_other_owner(crm: Builtin) -> None:
    crm.keep([told_by_bcc(a_mail(people=()), (ROSA, CAROL)), told_by_bcc(a_mail(mailbox=BEN, people=()), (ROSA, DAVE))])

    mail = crm.mail(a_mail().key, DAVE.key)

    assert mail is not None
    assert [one.only for one in mail.relations] == [(DAVE.key,)]


def test_the_addresses_of_a_bcc_are_shown_to_admins_and_to_the_owner_of_the_copy(crm: Builtin) -> None:
    crm.keep([told_by_bcc(a_mail(bcc=(JOE,)), (EVE, CAROL))])

    shown = [mail.bcc for viewer in VIEWERS if (mail := crm.mail(a_mail().key, viewer))]

    assert shown == [(JOE,), (JOE,), (), ()]


@pytest.mark.parametrize("large", [False, True], ids=["in a row", "in a file"])
@pytest.mark.parametrize("sent_first", [False, True])
def test_a_recipients_copy_does_not_wipe_the_bcc(crm: Builtin, large: bool, sent_first: bool) -> None:
    crowd = tuple(Address("", f"person{number}@client.example") for number in range(2000 if large else 1))
    copies = [told_by_bcc(a_mail(bcc=crowd, to=crowd), (EVE, CAROL)), a_mail(mailbox=BEN, to=crowd)]

    for copy in copies if sent_first else reversed(copies):
        crm.keep([copy])

    mail, hers = crm.mail(a_mail().key), crm.mail(a_mail().key, CAROL.key)
    assert mail is not None
    assert hers is not None
    assert mail.bcc == hers.bcc == mail.to == crowd


def test_the_sent_copy_of_a_mail_to_oneself_adds_its_bcc_once(storage: Storage, clock: ManualClock) -> None:
    section = Section(storage.tables, storage.blobs, "here-")
    crm = a_worker(section, clock)
    crowd = tuple(Address("", f"person{number}@client.example") for number in range(2000))
    sent = told_by_bcc(a_mail(id="sent copy", bcc=crowd, html="x" * 40_000), (EVE, CAROL))
    crm.keep([a_mail()])

    for _ in range(3):
        crm.keep([sent])

    mail = crm.mail(sent.key, CAROL.key)
    assert mail is not None
    assert (mail.bcc, mail.html) == (crowd, "<p>Dear Ada</p>")
    assert len(all_changes(crm)) == 2
    (copy,) = (row for row in section.scan("CrmRecords") if "|s|" in row.key)
    assert set(json.loads(str(copy.values["files"]))) == section.files  # whoever erases the mail finds them


def test_the_owner_sees_his_bcc_as_soon_as_a_relation_says_whose_it_is(crm: Builtin) -> None:
    crm.keep([a_mail(bcc=(JOE,))])
    before = [mail.bcc for viewer in VIEWERS if (mail := crm.mail(a_mail().key, viewer))]

    crm.keep([told_by_bcc(a_mail(bcc=(JOE,), html=None, text=None), (EVE, CAROL))])

    after = [mail.bcc for viewer in VIEWERS if (mail := crm.mail(a_mail().key, viewer))]
    assert (before, after) == ([(JOE,), (), (), ()], [(JOE,), (JOE,), (), ()])


def test_hidden_entries_leave_no_gap_in_the_pages_of_others(crm: Builtin) -> None:
    mails = []
    for number in range(40):
        mail = a_mail(number, people=(ROSA,) if number % 4 == 0 else (), subject=str(number))
        mails.append(told_by_bcc(mail, (ROSA, CAROL), (ROSA, DAVE)))
    crm.keep(mails)

    def pages(viewer: str | None) -> list[list[str]]:
        found, after = [], ""
        while not found or after:
            entries, after = crm.timeline(ROSA.key, 3, after, viewer)
            found.append([one.subject for one in entries])
        return found

    assert [one for page in pages(MALLORY) for one in page] == [str(number) for number in range(36, -1, -4)]
    assert [len(page) for page in pages(MALLORY)] == [3, 3, 3, 1]
    for viewer in (None, CAROL.key, DAVE.key):
        assert [one for page in pages(viewer) for one in page] == [str(number) for number in range(39, -1, -1)]


def test_no_viewer_learns_which_mailboxes_have_a_mail(crm: Builtin) -> None:
    crm.keep([a_mail(), a_mail(mailbox=BEN)])

    (line,), _ = crm.timeline(ROSA.key, 5, viewer=CAROL.key)
    mail = crm.mail(line.key, CAROL.key)

    assert line.mailbox == ""
    assert mail is not None
    assert (mail.sightings, mail.received) == ((), a_mail().envelope.received)


def test_what_is_known_tells_an_open_person_from_one_behind_a_bcc(crm: Builtin) -> None:
    mail = told_by_bcc(a_mail(people=(EVE,)), (ROSA, CAROL))
    crm.keep([mail])

    known = crm.known(ADA, [mail.key])[mail.key]

    assert known == Known(True, (mail.envelope.id,), frozenset({EVE.key, f"{ROSA.key}|{CAROL.key}"}))
    assert all(one.who in known.people for one in mail.relations)
    assert a_mail(people=(ROSA,)).relations[0].who not in known.people


def test_crowds_behind_a_bcc_are_kept(crm: Builtin) -> None:
    crowd = a_crowd(150)
    mail = told_by_bcc(a_mail(), *((one, CAROL) for one in crowd))

    crm.keep([mail])
    crm.keep([mail])

    assert len(beside(crm, mail.key, CAROL.key)) == 151
    assert len(beside(crm, mail.key, DAVE.key)) == 1
    assert len(all_changes(crm)) == 1


# -- random copies, against the rule in one line

PEOPLE = (ROSA, EVE, CAROL, DAVE)
CONTACTS = {ROSA.key, EVE.key}
OWNERS = ("", CAROL.key, DAVE.key)
copies_of_mails = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([ADA, BEN]),
        st.sampled_from(["", "sent"]),
        st.frozensets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(OWNERS)), max_size=5),
        st.booleans(),
    ),
    max_size=8,
)


def a_copy(
    number: int, mailbox: str, which: str, people: frozenset[tuple[Person, str]], told: bool, place: int
) -> MailRecord:
    hidden = [(one, Person(owner, "user", "")) for one, owner in sorted(people, key=str) if owner]
    shown = tuple(one for one, owner in sorted(people, key=str) if not owner)
    bcc = (Address("", f"bcc{place}@x.example"),) if told else ()
    mail = a_mail(number, mailbox=mailbox, id=f"{mailbox[0]}{number}{which}", people=shown, bcc=bcc, sent=NOON)
    return told_by_bcc(mail, *hidden)


@given(copies_of_mails, st.booleans())
def test_no_viewer_ever_sees_a_person_he_should_not(
    drawn: Sequence[tuple[int, str, str, frozenset[tuple[Person, str]], bool]], at_once: bool
) -> None:
    crm = Builtin(MemoryTables(), MemoryBlobs(), KEYS, ManualClock(NOON))
    copies = [a_copy(*one, place) for place, one in enumerate(drawn)]
    for some in [copies] if at_once else [[one] for one in copies]:
        crm.keep(some)

    for viewer in VIEWERS:
        for key in {one.key for one in copies}:
            allowed = {
                relation.person.key
                for one in copies
                if one.key == key
                for relation in one.relations
                if viewer is None or not relation.only or viewer in (relation.only, relation.person.key)
            }
            contacts = {one.person.key for copy in copies if copy.key == key for one in copy.relations} & CONTACTS
            mail = crm.mail(key, viewer)
            # For the sake of contacts none of whom he may see, a mail is not there for a viewer.
            assert (mail is not None) == (viewer is None or not contacts or bool(contacts & allowed))
            shown = {
                one.key for one in PEOPLE if key in {line.key for line in crm.timeline(one.key, 50, "", viewer)[0]}
            }
            assert shown == (allowed if mail else set())
            if mail is None:
                continue
            assert {one.key for one in mail.relations} == allowed
            assert len(mail.relations) == len(allowed)
            assert all(set(one.only) <= {viewer} for one in mail.relations if viewer)
            copies_of_it = [one for one in copies if one.key == key]
            own = [one for one in copies_of_it if viewer is None or viewer in records.owners(one)]
            of_his = {one.mailbox for one in own}
            told = {address for one in copies_of_it if one.mailbox in of_his for address in one.envelope.bcc}
            assert set(mail.bcc) <= told
            assert bool(mail.bcc) >= any(one.envelope.bcc for one in own)
