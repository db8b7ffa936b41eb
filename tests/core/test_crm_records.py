"""What a mail becomes in the CRM's tables, and what is decided about a mail whose key stands there already."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm import records, timeline
from sync.crm.records import Draft, Seen
from sync.model import Address, Attachment, Filed, MailRecord, Person, Relation
from tests.builders import CLIENT, COLLEAGUE, KEYS, NOON, an_address, an_envelope

KEY = "m" + "a" * 32
TO_CLIENT = Relation(CLIENT, "to", "rosa@client.example")
BCC_COLLEAGUE = Relation(COLLEAGUE, "bcc", "ada@firm.example")
HIDDEN_CLIENT = Relation(CLIENT, "bcc", "rosa@client.example", only=COLLEAGUE.key)
LATER = NOON.isoformat()
SOON = (NOON - timedelta(days=1)).isoformat()


def a_record(**changes: Any) -> MailRecord:
    """A mail to a client, as capture hands it in; what is no field of the record is one of its envelope."""
    own = {
        "key": KEY,
        "mailbox": "ada",
        "direction": "in",
        "relations": (TO_CLIENT,),
        "html": "<p>Hi</p>",
        "text": "Hi",
        "expires": None,
    }
    fields = {name: changes.pop(name, value) for name, value in own.items()}
    return MailRecord(envelope=an_envelope(**changes), **fields)


def a_draft(first: str = "", **changes: Any) -> Draft:
    record = a_record(**changes)
    return Draft(record.key, record, first)


def mark(subject: str) -> str:
    return records.mark(KEYS, subject)


@pytest.mark.parametrize(
    ("seen", "fate", "people"),
    [
        (Seen(), "new", [CLIENT, COLLEAGUE]),
        (Seen(record=True, people={CLIENT.key}), "joined", [CLIENT, COLLEAGUE]),
        (Seen(True, item="AAMk1", mark=mark("Review"), people={CLIENT.key, COLLEAGUE.key}), "already", []),
        (Seen(True, item="AAMk1", mark=mark("Other"), people={CLIENT.key, COLLEAGUE.key}), "already", []),
        (Seen(True, item="AAMk9", mark=mark("  REVIEW "), people={CLIENT.key}), "already", [COLLEAGUE]),
        (Seen(True, item="AAMk9", mark=mark("Other"), people={CLIENT.key}), "again", []),
    ],
    ids=["unknown", "in another mailbox", "replayed", "renamed since", "a copy that knows the Bcc", "another subject"],
)
def test_what_stands_under_the_key_decides(seen: Seen, fate: str, people: list[Person]) -> None:
    draft = a_draft(relations=(TO_CLIENT, BCC_COLLEAGUE))

    verdict = records.decide(draft, mark("Review"), seen, SOON)

    assert verdict.fate == fate
    assert [one.person for one in verdict.relations] == people


def test_a_mail_told_apart_once_is_not_told_apart_again() -> None:
    draft = a_draft(first=KEY)

    verdict = records.decide(draft, mark("Review"), Seen(True, item="AAMk9", mark="cut"), SOON)

    assert verdict.fate == "already"


def test_a_mail_told_apart_has_a_key_of_its_own_and_names_the_first() -> None:
    apart = records.told_apart(KEYS, a_draft())

    assert apart.key != KEY
    assert apart.key == records.told_apart(KEYS, a_draft(id="another", subject=" review")).key
    assert apart.key != records.told_apart(KEYS, a_draft(subject="Other")).key
    assert records.content(KEYS, apart).values["first"] == KEY


def test_copies_within_one_call_are_settled_by_the_same_rules() -> None:
    inbox = a_draft()
    replayed = a_draft(subject="Renamed")
    sent = a_draft(id="AAMk2", subject="REVIEW", relations=(TO_CLIENT, BCC_COLLEAGUE))
    other = a_draft(id="AAMk3", subject="Other")
    elsewhere = a_draft(id="AAMk4", mailbox="ben")
    unlike = a_draft(key="m" + "b" * 32)

    settled = records.settle([inbox, replayed, sent, other, elsewhere, unlike])

    assert [one.key for one in settled.now] == [KEY, unlike.key]
    assert settled.now[0].record.envelope.id == "AAMk1"
    assert settled.now[0].record.relations == (TO_CLIENT, BCC_COLLEAGUE)
    assert settled.later == (other, elsewhere)
    assert settled.twice == (replayed, sent)


def test_what_only_one_copy_knows_is_never_blanked_by_another() -> None:
    received = records.content(KEYS, a_draft(direction="in", bcc=(), attachments=False))
    sent = records.content(KEYS, a_draft(direction="out", bcc=(an_address("b@x.example"),), attachments=True))

    merged = {**sent.values, **received.values}

    assert merged["direction"] == "out"
    assert merged["attachments"] is True
    assert "bcc" not in merged
    assert received.bcc is None
    assert sent.bcc is not None
    assert records.read_addresses(str(sent.bcc["bcc"])) == (an_address("b@x.example"),)


def test_a_value_too_large_for_a_row_becomes_a_file_named_by_what_it_holds() -> None:
    crowd = tuple(an_address(f"person{number}@client.example", "é" * 10) for number in range(1000))
    fits, too_large = "é" * 15_000, "é" * 15_001

    kept = records.content(KEYS, a_draft(html=too_large, text=fits, to=crowd))
    other = records.content(KEYS, a_draft(html=too_large + "!", text=fits, to=crowd))

    assert kept.body is not None
    assert other.body is not None
    crowded, body = (orjson.loads(str(values["large"])) for values in (kept.values, kept.body))
    assert (set(crowded), set(body)) == ({"to"}, {"html"})
    assert "to" not in kept.values
    assert (kept.body.get("html"), kept.body["text"]) == (None, fits)
    assert kept.files[body["html"]] == too_large.encode()
    assert records.read_addresses(kept.files[crowded["to"]].decode()) == crowd
    assert body["html"].startswith(f"mail/{KEY}/")
    assert body["html"] != orjson.loads(str(other.body["large"]))["html"]


def test_a_body_is_a_row_of_its_own_that_is_replaced_whole() -> None:
    draft = a_draft(html="small", text="also")

    (write,) = records.body_writes(draft, records.content(KEYS, draft))

    assert (write.action, write.key) == ("replace", f"r|{KEY}|b")
    assert write.values == {"html": "small", "text": "also"}


@pytest.mark.parametrize("unread", [{"html": None}, {"text": None}, {"html": None, "text": None}])
def test_a_copy_whose_body_was_not_read_leaves_the_body_alone(unread: dict[str, None]) -> None:
    draft = a_draft(**unread)

    assert records.body_writes(draft, records.content(KEYS, draft)) == []


def test_halves_of_characters_do_not_stop_a_mail() -> None:
    draft = a_draft(html="\ud800" * 40_000, author=Address("\ud800", "a@x.example"))

    kept = records.content(KEYS, draft)

    assert records.read_addresses(str(kept.values["author"])) == (Address("?", "a@x.example"),)
    assert list(kept.files.values()) == [b"?" * 40_000]


def test_a_mail_without_a_sent_time_must_be_the_first_of_its_key_to_set_the_time() -> None:
    draft = a_draft(sent=None)
    kept = records.content(KEYS, draft)

    first, second = (records.record_write(draft, kept, seen) for seen in (Seen(), Seen(record=True)))

    assert (first.action, first.values["time"]) == ("insert", NOON.isoformat())
    assert second.action == "merge"
    assert "time" not in second.values


def test_a_mail_with_a_sent_time_is_merged_without_asking() -> None:
    draft = a_draft(received=NOON + timedelta(hours=1))

    write = records.record_write(draft, records.content(KEYS, draft), Seen())

    assert (write.action, write.values["time"], write.values["sent"]) == ("merge", NOON.isoformat(), NOON.isoformat())


def test_a_person_stands_beside_a_mail_once_in_the_first_role_named() -> None:
    writes = records.relation_writes(KEY, [TO_CLIENT, replace(TO_CLIENT, role="cc")])

    (only,) = writes.values()
    assert only.key == f"r|{KEY}|p|{CLIENT.key}"
    assert only.values == {"kind": "contact", "name": "Rosa Client", "role": "to", "address": "rosa@client.example"}


@pytest.mark.parametrize(
    ("received", "html", "more"),
    [(None, "", set()), (NOON, "", {"received"}), (None, "x" * 40_000, {"files"})],
    ids=["as small as can be", "with a time", "with a file"],
)
def test_a_sighting_keeps_what_this_mailbox_shows(received: datetime | None, html: str, more: set[str]) -> None:
    draft = a_draft(subject="x" * 5000, received=received, html=html)

    write = records.sighting_write(KEYS, draft, records.content(KEYS, draft), "mark", "", Seen())

    assert (write.action, write.key) == ("insert", f"r|{KEY}|s|ada")
    assert set(write.values) == {"item", "folder", "subject", "mark", "thread"} | more
    assert write.values["subject"] == "x" * 400


@pytest.mark.parametrize(
    ("changes", "author", "direction"),
    [
        ({}, "Rosa", None),
        ({"author": None, "sender": an_address("desk@client.example", "Desk")}, "Desk", None),
        ({"author": None}, "", None),
        ({"direction": "out"}, "Rosa", "out"),
    ],
)
def test_a_timeline_row_says_who_wrote(changes: dict[str, Any], author: str, direction: str | None) -> None:
    (write,) = timeline.timeline_writes(a_draft(**changes), NOON.isoformat(), [CLIENT.key]).values()

    assert write.values["author"] == author
    assert write.values.get("direction") == direction
    assert write.values["mailbox"] == "ada"


@given(st.datetimes(), st.datetimes())
def test_the_later_mail_comes_first_whatever_its_year(one: datetime, other: datetime) -> None:
    times = [records.iso(time) for time in (one, other)]

    places = [timeline.inverted(time) for time in times]

    assert [len(place) for place in places] == [16, 16]
    assert (places[0] < places[1]) == (one.replace(microsecond=0) > other.replace(microsecond=0))


def test_one_moment_has_one_place_in_all_zones_and_a_mail_without_time_comes_last() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))

    assert timeline.inverted(records.iso(east)) == timeline.inverted(records.iso(NOON))
    assert records.moment(an_envelope(sent=None, received=None)) == ""
    assert timeline.inverted("") == timeline.inverted(records.iso(datetime.min.replace(tzinfo=UTC))) > "99"


def test_a_time_without_a_zone_counts_as_utc() -> None:
    assert records.iso(NOON.replace(tzinfo=None)) == records.iso(NOON)


def test_nobody_and_no_address_are_stored_as_nothing() -> None:
    assert records.addresses((None,)) == ""
    assert records.read_addresses("") == ()


@given(st.lists(st.tuples(st.integers(1, 150), st.integers(0, 60))), st.integers(1, 100), st.integers(1, 100))
def test_groups_keep_order_and_limits(units: list[tuple[int, int]], rows: int, weight: int) -> None:
    groups = records.packed(units, rows, weight)

    assert [position for group in groups for position in group] == list(range(len(units)))
    for group in groups:
        its_rows, its_weight = (sum(units[position][of] for position in group) for of in (0, 1))
        assert len(group) == 1 or (its_rows <= rows and its_weight <= weight)


@pytest.mark.parametrize(
    ("units", "groups"),
    [
        ([], []),
        ([(1, 1), (2, 2), (1, 1)], [[0, 1], [2]]),
        ([(1, 1), (1, 9), (1, 1)], [[0, 1], [2]]),
        ([(9, 1), (1, 1)], [[0], [1]]),
    ],
)
def test_a_group_is_filled_until_the_next_unit_would_not_fit(
    units: list[tuple[int, int]], groups: list[list[int]]
) -> None:
    assert records.packed(units, rows=3, weight=10) == groups


@given(st.text(max_size=60))
def test_a_mail_never_weighs_less_than_it_takes_as_json(text: str) -> None:
    record = replace(a_record(), html=text * 20)

    kept = records.content(KEYS, Draft(KEY, record))

    if text:
        assert kept.weight - 3 * records.ROW_BYTES >= len(orjson.dumps(text * 20)) - 2


@pytest.mark.parametrize(
    ("seen", "copy"),
    [
        (Seen(True, item="AAMk1", mark=mark("Review")), False),
        (Seen(True, item="AAMk9", mark=mark("Review")), True),
        (Seen(True, item="AAMk9", mark=mark("Other")), True),
        (Seen(True, item="AAMk9", mark=mark("Review"), also=frozenset({"AAMk1"})), False),
        (Seen(record=True), False),
    ],
)
def test_a_further_copy_is_noted_once(seen: Seen, copy: bool) -> None:
    assert records.decide(a_draft(), mark("Review"), seen, SOON).copy is copy


def test_attachments_come_back_as_they_were_kept() -> None:
    file = Filed(Attachment("AAMk", "a\ud800.pdf", "application/pdf", 70, False, "", "file"), "mail/m/files/0")
    link = Filed(Attachment("AAMl", "plan", "", 0, True, "cid", "reference"), why="A link.")
    draft = Draft(KEY, replace(a_record(), attachments=(file, link)))

    body = records.content(KEYS, draft).body

    assert body is not None
    found = records.read_attachments(str(body["files"]))
    assert [(one.attachment.name, one.file, one.why) for one in found] == [
        ("a?.pdf", "mail/m/files/0", ""),
        ("plan", "", "A link."),
    ]
    assert found[1].attachment == replace(link.attachment, id="")
    assert records.read_attachments("") == ()


def test_an_attachments_file_is_named_alike_from_every_mailbox() -> None:
    one = Attachment("AAMk", "a.pdf", "application/pdf", 70, False, "", "file")

    assert records.attachment_file(KEYS, KEY, 0, one) == records.attachment_file(KEYS, KEY, 0, replace(one, id="other"))
    assert records.attachment_file(KEYS, KEY, 0, one) != records.attachment_file(KEYS, KEY, 1, one)


# -- people known from a Bcc alone


def test_who_is_known_from_a_bcc_has_rows_of_his_own_beside_the_open_one() -> None:
    writes = records.relation_writes(KEY, [HIDDEN_CLIENT, TO_CLIENT, replace(HIDDEN_CLIENT, only="u" + "9" * 32)])

    assert [(row.removeprefix(f"r|{KEY}|p|"), write.values.get("only")) for row, write in writes.items()] == [
        (f"{CLIENT.key}|{COLLEAGUE.key}", COLLEAGUE.key),
        (CLIENT.key, None),
        (f"{CLIENT.key}|u{'9' * 32}", "u" + "9" * 32),
    ]


def test_the_open_row_of_a_timeline_comes_before_those_for_some_eyes_only() -> None:
    writes = timeline.timeline_writes(a_draft(), LATER, [HIDDEN_CLIENT.who, TO_CLIENT.who])

    hidden, shown = writes[HIDDEN_CLIENT.who], writes[TO_CLIENT.who]
    assert hidden.key == f"{shown.key}|{COLLEAGUE.key}"
    assert (hidden.values["only"], shown.values.get("only")) == (COLLEAGUE.key, None)


@pytest.mark.parametrize(
    ("person", "only", "viewer", "seen"),
    [
        ("c1", "", "u1", True),
        ("c1", "u1", "u1", True),
        ("c1", "u1", "u2", False),
        ("u2", "u1", "u2", True),
        ("c1", "u1", None, True),
    ],
    ids=["open", "told by his own mailbox", "told by another's", "himself", "an admin"],
)
def test_a_person_is_visible_to_whom_he_may(person: str, only: str, viewer: str | None, seen: bool) -> None:
    assert timeline.visible(person, only, viewer) is seen


def test_a_bcc_too_large_for_a_row_becomes_a_file() -> None:
    crowd = tuple(an_address(f"person{number}@client.example") for number in range(2000))
    few = records.content(KEYS, a_draft(bcc=crowd[:1], relations=(HIDDEN_CLIENT, TO_CLIENT)))
    many = records.content(KEYS, a_draft(bcc=crowd))

    assert few.bcc == {"bcc": records.addresses(crowd[:1])}
    assert many.bcc is not None
    (name,) = orjson.loads(str(many.bcc["large"])).values()
    assert records.read_addresses(many.files[name].decode()) == crowd


def test_the_rows_of_a_bcc_are_written_once_for_each_owner() -> None:
    bcc = (an_address("b@x.example"),)
    unknown, known = a_draft(bcc=bcc), a_draft(bcc=bcc, relations=(HIDDEN_CLIENT, TO_CLIENT))

    def rows(draft: Draft, *there: str) -> list[str]:
        return [one.key for one in records.bcc_writes(draft, records.content(KEYS, draft), there)]

    assert rows(unknown) == [f"r|{KEY}|h|ada|"]
    assert rows(unknown, "") == []
    assert rows(known, "") == [f"r|{KEY}|h|ada|{COLLEAGUE.key}"]
    assert rows(known, "", COLLEAGUE.key) == []
    assert rows(a_draft(relations=(HIDDEN_CLIENT,))) == []


# -- mails that expire


def test_a_mail_that_matches_stays_and_one_about_to_leave_gets_nothing_more() -> None:
    leaving = Seen(True, item="AAMk1", mark=mark("Review"), expires=SOON)
    expiring = a_draft(expires=NOON)

    stays = records.decide(a_draft(), mark("Review"), leaving, SOON)
    leaves = records.decide(expiring, mark("Review"), leaving, SOON)
    lasts = records.decide(expiring, mark("Review"), replace(leaving, expires=LATER), SOON)

    assert (stays.stays, stays.leaves, len(stays.relations)) == (True, False, 1)
    assert (leaves.stays, leaves.leaves, leaves.relations) == (False, True, ())
    assert (lasts.stays, lasts.leaves, len(lasts.relations)) == (False, False, 1)


def test_a_mail_told_apart_from_one_about_to_leave_is_not_noted_beside_it() -> None:
    leaving = Seen(True, item="AAMk9", mark=mark("Other"), expires=SOON)

    verdict = records.decide(a_draft(), mark("Review"), leaving, SOON)

    assert (verdict.fate, verdict.copy, verdict.leaves) == ("again", False, True)


def test_what_is_left_of_a_removed_mail_does_not_pass_for_the_mail() -> None:
    left = Seen(record=False, item="AAMk1", mark=mark("Review"))
    draft = a_draft()

    verdict = records.decide(draft, mark("Review"), left, SOON)
    write = records.sighting_write(KEYS, draft, records.content(KEYS, draft), "mark", "", left)

    assert (verdict.fate, write.action) == ("new", "replace")


def test_a_record_that_expires_is_written_over_exactly_what_was_read() -> None:
    draft = a_draft()
    kept = records.content(KEYS, draft)

    assert records.record_write(draft, kept, Seen(True, version="v1", expires=LATER)).version == "v1"
    assert records.record_write(draft, kept, Seen(True, version="v1")).version is None


def test_a_sighting_says_when_it_expires() -> None:
    draft = a_draft(conversation="")

    write = records.sighting_write(KEYS, draft, records.content(KEYS, draft), "mark", LATER, Seen())

    assert write.values["expires"] == LATER
    assert "thread" not in write.values


def test_two_copies_of_one_call_stay_if_one_does_and_know_what_either_knows() -> None:
    bcc = (an_address("b@x.example"),)
    leaving = a_draft(relations=(), expires=NOON)
    matching = a_draft(id="AAMk2", relations=(TO_CLIENT, HIDDEN_CLIENT), bcc=bcc)

    for drafts in ([leaving, matching], [matching, leaving]):
        (one,) = records.settle(drafts).now
        assert one.record.expires is None
        assert one.record.relations == (TO_CLIENT, HIDDEN_CLIENT)
        assert one.record.envelope.bcc == bcc
    (both,) = records.settle([leaving, leaving]).now
    assert both.record.expires == NOON


# -- threads and files


def test_a_mail_stands_on_the_timeline_of_its_conversation() -> None:
    draft = a_draft(relations=(TO_CLIENT, HIDDEN_CLIENT))
    own = records.thread(KEYS, "thread")

    assert timeline.shown_to(KEYS, draft) == {CLIENT.key, HIDDEN_CLIENT.who, own}
    assert timeline.shown_to(KEYS, a_draft(conversation="")) == {CLIENT.key}
    assert own != records.thread(KEYS, "Thread")
    assert Seen(people={CLIENT.key}, thread=own).shown_to == {CLIENT.key, own}
    assert Seen(people={CLIENT.key}).shown_to == {CLIENT.key}


@pytest.mark.parametrize(("many", "named"), [(3, 3), (1000, 0)])
def test_a_sighting_names_the_files_of_attachments_as_far_as_a_row_can(many: int, named: int) -> None:
    files = tuple(
        Filed(Attachment("", "a.pdf", "", 1, False, "", "file"), f"mail/{KEY}/files/{number:016x}")
        for number in range(many)
    )
    draft = Draft(KEY, replace(a_record(html="x" * 40_000), attachments=files))
    kept = records.content(KEYS, draft)

    write = records.sighting_write(KEYS, draft, kept, "mark", "", Seen())

    assert len(orjson.loads(str(write.values["files"]))) == named + len(kept.files)


def test_two_mails_told_apart_do_not_share_the_file_of_a_body() -> None:
    first = a_draft(html="x" * 40_000)

    apart = records.told_apart(KEYS, first)

    assert records.content(KEYS, apart).files.keys().isdisjoint(records.content(KEYS, first).files)
