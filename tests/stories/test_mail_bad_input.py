"""Bad input through the whole product: it is an error on its own row or kept in a bounded form, and nothing beside it
is lost. Each test delivers ordinary mails before and after, as old mail or as new."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from dev.firm import Attachment, Party
from dev.memory import MemoryBlobs
from dev.tenant import Repeated, Request, Response, TenantAdapter
from sync.crm import vcard
from sync.crm.views import Mail
from sync.graph.session import ThreadSessions
from sync.model import RunItem
from sync.policy import MailPolicy
from tests.builders import NOON
from tests.stage import ADA, FIRM, ROSA, Stage

DAY = timedelta(days=1)
MEGABYTE = 1024 * 1024
BAD = "The bad one"

old_and_new = pytest.mark.parametrize("when", ["old", "new"])


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(mailboxes=(ADA,))
    yield stage
    stage.close()


def capture(stage: Stage, when: str, *bad: Callable[[datetime], Any]) -> None:
    """Deliver bad input among ordinary mails, as old mail or as new, capture all, and hold that the ordinary ones are
    there and the mailbox is well."""
    if when == "new":
        stage.add()
        stage.settle()
    time = stage.clock() if when == "new" else NOON - DAY
    stage.mail(subject="An ordinary one before", received=time)
    for deliver in bad:
        deliver(time)
    stage.mail(subject="An ordinary one after", received=time)
    if when == "old":
        stage.add()
    stage.settle()
    stage.mail(subject="An ordinary one, a round later")
    stage.settle()

    ordinary = {"An ordinary one before", "An ordinary one after", "An ordinary one, a round later"}
    row = stage.world.state.mailbox(next(stage.world.state.mailboxes()).id)
    assert ordinary <= set(stage.timeline())
    assert (row.met, row.trouble) == (True, None)


def captured(stage: Stage, when: str, **fields: Any) -> Mail:
    """One bad mail among ordinary ones, as the CRM shows it."""
    capture(stage, when, lambda time: stage.mail(**{"subject": BAD, "received": time, "sent": time, **fields}))
    return kept(stage, fields.get("subject", BAD))


def kept(stage: Stage, subject: str = BAD) -> Mail:
    """The one stored mail of this subject."""
    keys = {key.rpartition("|")[2] for _, key in stage.rows()["CrmTimeline"]}
    (found,) = [mail for mail in map(stage.crm.mail, keys) if mail is not None and mail.subject == subject]
    return found


def errors(stage: Stage) -> list[RunItem]:
    """All error rows of Logs & Errors."""
    items = (item for run in stage.world.log.runs()[0] for item in stage.world.log.items(run.id)[0])
    return [item for item in items if item.outcome == "error"]


@contextmanager
def within(stage: Stage, megabytes: int) -> Iterator[None]:
    """What is done with an answer takes at most so much memory beside it; the tenant's own is not counted."""
    before = peak = 0

    def asked(_: object) -> None:
        nonlocal peak
        peak = max(peak, tracemalloc.get_traced_memory()[1] - before)

    def answered(_: object) -> None:
        nonlocal before
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        answered(None)
        stage.tenant.before.append(asked)
        stage.tenant.after.append(answered)
        yield
        asked(None)
    finally:
        tracemalloc.stop()
    assert 0 < peak < megabytes * MEGABYTE


class Rewritten:
    """A tenant whose answers are changed on the way: what Microsoft 365 can send and the tenant would never hold."""

    def __init__(self, stage: Stage, change: Callable[[Request, Response], Response]) -> None:
        self._tenant, self._change = stage.tenant, change
        stage.sessions.close()
        stage.sessions = ThreadSessions(lambda: TenantAdapter(self))  # type: ignore[arg-type]
        stage.world = stage.a_worker()

    def handle(self, request: Request) -> Response:
        """Answer, changed."""
        return self._change(request, self._tenant.handle(request))


def with_bytes(stage: Stage, before: bytes, after: bytes) -> None:
    """Have these bytes replaced in each answer."""
    Rewritten(stage, lambda _, said: replace(said, body=bytes(said.body).replace(before, after)))


def with_json(stage: Stage, change: Callable[[dict[str, Any]], None]) -> None:
    """Have each object of each answer changed."""

    def walk(json: Any) -> None:
        for one in json.values() if isinstance(json, dict) else json if isinstance(json, list) else ():
            walk(one)
        if isinstance(json, dict):
            change(json)

    def changed(_: Request, said: Response) -> Response:
        if "json" not in said.headers.get("Content-Type", ""):
            return said
        json = orjson.loads(bytes(said.body))
        walk(json)
        return replace(said, body=orjson.dumps(json))

    Rewritten(stage, changed)


# -- whom it is to


@old_and_new
def test_a_mail_to_ten_thousand_keeps_all_of_them_and_stands_with_each_contact(stage: Stage, when: str) -> None:
    names = [f"client{number}@many.example" for number in range(10_000)]
    stage.crm.import_contacts("Name,Email\n" + "".join(f"Client {one},{one}\n" for one in names[:250]))

    mail = captured(stage, when, cc=names[:5_000], bcc=names[5_000:])

    assert [one.address for one in (*mail.cc, *mail.bcc)] == names
    assert len(mail.relations) == 251
    for people in stage.crm.people(names[:250]).values():
        assert [entry.subject for entry in stage.crm.timeline(people[0].key, 5)[0]] == [BAD]


@old_and_new
@pytest.mark.parametrize(
    "address",
    [
        '"Rosa \\"the\\" Client"@client.example',
        "o'brien'); drop@client.example",
        "x" * 65_536 + "@client.example",
        "rosa@" + "client." * 9_000 + "example",
        "@",
        "/O=FIRM/CN=ROSA",
        "\u202erosa@client.example",
        "",
    ],
    ids=[
        "quotes",
        "apostrophes",
        "long name",
        "long domain",
        "nothing but the sign",
        "legacy",
        "right to left",
        "none",
    ],
)
def test_an_odd_address_is_kept_as_it_stands_and_takes_nobody_along(stage: Stage, when: str, address: str) -> None:
    mail = captured(stage, when, author=Party("Odd", address), cc=(ROSA, Party("", address)))

    assert [(one.name, one.address) for one in (mail.author,) if one] == [("Odd", address)]
    assert [one.address for one in mail.relations] == [ROSA]


@old_and_new
@pytest.mark.parametrize("half", [b"\\ud83d", b"\\ude00"])
def test_half_of_a_letter_in_names_subject_and_body_is_shown_as_a_mark(stage: Stage, when: str, half: bytes) -> None:
    with_bytes(stage, b"HALF", half)
    bad = {"author": Party("Rosa HALF", ROSA), "subject": "A HALF subject", "body": "<p>A HALF word</p>"}
    files = (Attachment("a HALF.txt", "text/plain", b"x"),)

    capture(stage, when, lambda time: stage.mail(**bad, received=time, sent=time, attachments=files))

    (subject,) = [one for one in stage.timeline() if one.startswith("A ")]
    mail = kept(stage, subject)
    shown = [subject, mail.author.name if mail.author else "", mail.text, mail.files[0].attachment.name]
    assert [re.sub(r"[?\ufffd]", "*", one) for one in shown] == ["A * subject", "Rosa *", "A * word", "a *.txt"]


# -- what it says of itself


@old_and_new
@pytest.mark.parametrize(
    "message_id",
    ["<" + "x" * 4096 + "@x.example>", "<a\x00\x01\x1f\x7f@x>", "<'\"/\\#?%|@x>", "no brackets", "<>", "<\u202e😀@x>"],
    ids=["4 KB", "control characters", "quotes and slashes", "no brackets", "nothing within", "beyond ASCII"],
)
def test_an_odd_message_id_is_one_record_in_two_copies(stage: Stage, when: str, message_id: str) -> None:
    def twice(time: datetime) -> None:
        for _ in range(2):
            stage.mail(subject=BAD, message_id=message_id, received=time, sent=time)

    capture(stage, when, twice)

    assert stage.timeline().count(BAD) == 1
    assert kept(stage).message_id == message_id


@old_and_new
def test_a_subject_of_300_kb_is_kept_whole_and_shown_short(stage: Stage, when: str) -> None:
    subject = "Wörter " * 50_000

    mail = captured(stage, when, subject=subject)

    assert mail.subject == subject
    assert max(map(len, stage.timeline())) == 400


@pytest.mark.parametrize("year", [1, 1601, 3609, 9998])
@old_and_new
def test_a_mail_sent_in_another_age_stands_on_the_timeline(stage: Stage, when: str, year: int) -> None:
    sent = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)

    mail = captured(stage, when, sent=sent)

    assert mail.sent == sent
    assert stage.timeline()[0 if year > 2026 else -1] == BAD


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("year", [1, 1601, 3609, 9998])
def test_a_mail_received_in_another_age_moves_no_edge_past_others(stage: Stage, order: Any, year: int) -> None:
    stage.policy = FIRM.model_copy(update={"mail": MailPolicy(backfill_months=None, backfill_order=order)})
    stage.tenant.switches = replace(stage.tenant.switches, page_size_cap=1)
    received = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)

    captured(stage, "old", received=received, sent=NOON - DAY)

    assert stage.timeline().count(BAD) == 1


@old_and_new
@pytest.mark.parametrize("date", ["0000-00-00T00:00:00Z", "10000-01-01T00:00:00Z", "soon", "9999-12-31T23:59:59-14:00"])
def test_a_date_that_is_none_is_an_error_row_of_its_own(stage: Stage, when: str, date: str) -> None:
    box = stage.tenant.user(ADA)

    capture(stage, when, lambda time: box.edit(stage.mail(subject=BAD, received=time), extra={"sentDateTime": date}))

    assert BAD not in stage.timeline()
    assert errors(stage)
    assert all(f"a date that cannot be read: '{date}'" in one.reason for one in errors(stage))


@old_and_new
def test_a_mail_with_a_time_sent_and_none_received_is_kept(stage: Stage, when: str) -> None:
    box = stage.tenant.user(ADA)

    capture(
        stage, when, lambda time: box.edit(stage.mail(subject=BAD, received=time), extra={"receivedDateTime": None})
    )

    assert stage.timeline().count(BAD) == 1
    assert kept(stage).received is None


@old_and_new
def test_a_mail_of_nulls_is_kept_by_its_author_alone(stage: Stage, when: str) -> None:
    stays = {"id", "from", "attachments", "emailAddress", "hasAttachments", "@odata.type", "@odata.etag"}
    bad: list[str] = []

    def emptied(json: dict[str, Any]) -> None:
        if json.get("id") in bad or json.get("name") == "NULL":
            json.update(dict.fromkeys(json.keys() - stays))

    with_json(stage, emptied)
    files = (Attachment("NULL", "text/plain", b"x"),)
    capture(stage, when, lambda time: bad.append(stage.mail(subject=BAD, received=time, attachments=files)))

    mail = kept(stage, "")
    assert (mail.message_id, mail.to, mail.sent, mail.received, mail.html, mail.text) == ("", (), None, None, "", "")
    assert [one.address for one in mail.relations] == [ROSA]
    assert [one.attachment.name for one in mail.files] == [""]


@old_and_new
def test_a_mail_of_nothing_but_nulls_is_counted_as_nobodys(stage: Stage, when: str) -> None:
    bad: list[str] = []

    def emptied(json: dict[str, Any]) -> None:
        if json.get("id") in bad:
            json.update(dict.fromkeys(json.keys() - {"id"}))

    with_json(stage, emptied)
    capture(stage, when, lambda time: bad.append(stage.mail(subject=BAD, received=time)))

    assert sum(run.skipped.get("no address", 0) for run in stage.world.log.runs()[0]) > 0
    assert errors(stage) == []


@old_and_new
def test_headers_of_a_megabyte_change_nothing(stage: Stage, when: str) -> None:
    headers = [("X-Long", "(" * 500_000), *((f"X-{number}", "x;" * 50) for number in range(5_000))]

    assert captured(stage, when, headers=headers).text == "Dear Ada"


# -- what it says


BOMBS = {
    "deep nesting": ("<p>Dear Ada</p>" + "<div>" * 200_000 + "<b>" * 100_000, False),
    "a million attributes": ("<p>Dear Ada</p><p " + " ".join(f"a{one}=1" for one in range(1_000_000)) + ">x", False),
    "a huge style in the tag": (f"<p>Dear Ada</p><p style='{'color:red;' * 300_000}'>x</p>", True),
    "a huge style sheet": (f"<style>{'p {color:red} ' * 200_000}</style><p>Dear Ada</p>", True),
}


@old_and_new
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_of_html_is_kept_by_its_words(stage: Stage, when: str, bomb: str) -> None:
    body, whole = BOMBS[bomb]

    mail = captured(stage, when, body=body)

    assert mail.text.startswith("Dear Ada")
    assert len(mail.html) + len(mail.text) < MEGABYTE
    assert bool(mail.html) == whole
    assert ("[The rest of this mail was too large" in mail.text) != whole


@old_and_new
@pytest.mark.parametrize("html", [True, False])
def test_a_body_of_20_mb_is_cut_and_it_is_said(stage: Stage, when: str, html: bool) -> None:
    with within(stage, 64):
        mail = captured(stage, when, body="many words " * (20 * MEGABYTE // 11), html=html)

    assert mail.text.startswith("many words many words")
    assert len(mail.text) < 1.1 * MEGABYTE
    assert "[The rest of this mail was too large" in mail.text.splitlines()[-1]


@old_and_new
def test_a_body_of_40_mb_is_not_read_and_its_mail_is_kept(stage: Stage, when: str) -> None:
    mail = captured(stage, when, body="many words " * (40 * MEGABYTE // 11), attachments=(SMALL,))

    assert mail.text == "[What this mail says was not read: it is larger than 32 MB.]"
    assert [one.attachment.name for one in mail.files] == ["small.txt"]
    assert errors(stage) == []


@old_and_new
def test_an_answer_of_a_gigabyte_is_never_held_and_concerns_its_mail_alone(stage: Stage, when: str) -> None:
    bad: list[str] = []

    def huge(request: Request, said: Response) -> Response:
        body = b"body" in request.body and any(quote(one).encode() in request.body for one in bad)
        return replace(said, body=Repeated(1024 * MEGABYTE)) if body else said

    Rewritten(stage, huge)
    with within(stage, 48):
        capture(stage, when, lambda time: bad.append(stage.mail(subject=BAD, received=time)))

    assert kept(stage).text.startswith("[What this mail says was not read")
    assert kept(stage, "An ordinary one after").text == "Dear Ada"


@old_and_new
def test_many_large_bodies_are_read_though_no_answer_could_hold_them_together(stage: Stage, when: str) -> None:
    body = "word " * (3 * MEGABYTE // 5)

    def many(time: datetime) -> None:
        for number in range(18):
            stage.mail(subject=f"Large {number}", body=body, html=False, received=time)

    parts: list[int] = []
    stage.tenant.before.append(lambda request: parts.append(request.body.count(b"$select=id,body")))
    capture(stage, when, many)

    assert parts.count(1) >= 18  # one by one, after all together were too large
    assert {f"Large {number}" for number in range(18)} <= set(stage.timeline())
    assert "not read" not in kept(stage, "Large 0").text


@old_and_new
def test_a_page_too_large_to_be_held_is_read_in_smaller_ones(stage: Stage, when: str) -> None:
    def many(time: datetime) -> None:
        for number in range(12):
            stage.mail(subject=f"{number} " + "x" * 3 * MEGABYTE, received=time)

    asked: list[str] = []
    stage.tenant.before.append(lambda request: asked.append(f"{request.url} {request.header('Prefer')}"))
    capture(stage, when, many)

    assert any("$top=20 " in one or one.endswith("maxpagesize=10") for one in asked)
    assert sorted(int(one.split()[0]) for one in stage.timeline() if one.endswith("x")) == list(range(12))


# -- what hangs on it

SMALL = Attachment("small.txt", "text/plain", b"x")
FILM = Attachment("film.mov", "video/quicktime", Repeated(100 * MEGABYTE))  # type: ignore[arg-type]


class CountedBlobs(MemoryBlobs):
    """Files of which only the sizes are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}

    def stream(self, name: str, pieces: Iterable[bytes]) -> int:
        """Count what comes."""
        self.sizes[name] = sum(map(len, pieces))
        return self.sizes[name]


@old_and_new
def test_a_file_of_100_mb_is_streamed_and_never_held(stage: Stage, when: str) -> None:
    stage.policy = FIRM.model_copy(update={"mail": MailPolicy(attachment_mb=150)})
    stage.blobs = counted = CountedBlobs()
    stage.world = stage.a_worker()
    with within(stage, 4):
        mail = captured(stage, when, attachments=(FILM, SMALL))

    assert [counted.sizes[one.file] for one in mail.files] == [100 * MEGABYTE, 1]


@old_and_new
def test_a_file_of_100_mb_above_the_limit_is_kept_by_name_with_the_reason(stage: Stage, when: str) -> None:
    with within(stage, 4):
        mail = captured(stage, when, attachments=(FILM, SMALL))

    assert [(one.attachment.name, one.why) for one in mail.files] == [
        ("film.mov", "Larger than 25 MB."),
        ("small.txt", ""),
    ]


@old_and_new
def test_a_file_that_is_larger_than_it_was_listed_is_not_read_to_its_end(stage: Stage, when: str) -> None:
    def small(json: dict[str, Any]) -> None:
        if json.get("name") == "film.mov":
            json["size"] = 1000

    with_json(stage, small)
    mail = captured(stage, when, attachments=(FILM, SMALL))

    assert [one.why for one in mail.files] == ["Larger than 25 MB.", ""]
    assert stage.world.meter.counts()["graph_bytes"] < 40 * MEGABYTE


@old_and_new
def test_a_list_of_files_too_large_to_be_held_is_an_error_row_and_its_mail_is_kept(stage: Stage, when: str) -> None:
    bad: list[str] = []

    def huge(request: Request, said: Response) -> Response:
        listed = b"/attachments?" in request.body and any(quote(one).encode() in request.body for one in bad)
        return replace(said, body=Repeated(64 * MEGABYTE)) if listed else said

    def with_files(time: datetime) -> None:
        bad.append(stage.mail(subject=BAD, received=time, attachments=(SMALL,)))
        stage.mail(subject="Beside it", received=time, attachments=(SMALL,))

    Rewritten(stage, huge)
    capture(stage, when, with_files)

    assert kept(stage).files == ()
    assert [one.attachment.name for one in kept(stage, "Beside it").files] == ["small.txt"]
    assert [(one.name, one.reason) for one in errors(stage)] == [
        (bad[0], "An answer of Microsoft Graph is larger than 32 MB.")
    ]


HOSTILE = ["../../x", "CON", "\u202efdp.exe", "x" * 10_240, "a\x00b", "a/b\\c?#%", "", ".", "C:\\x", "😀.txt", "a\r\nb"]


@old_and_new
def test_hostile_names_of_files_lead_nowhere_and_stay_readable(stage: Stage, when: str) -> None:
    mail = captured(stage, when, attachments=tuple(Attachment(name, "text/plain", b"x") for name in HOSTILE))

    assert [one.attachment.name for one in mail.files] == [name or "Attachment" for name in HOSTILE]
    assert all(re.fullmatch(rf"mail/{mail.key}/files/[0-9a-f]{{16}}", one.file) for one in mail.files)
    assert len({one.file for one in mail.files}) == len(HOSTILE)


def test_of_two_thousand_files_the_first_are_kept_and_it_is_said(stage: Stage) -> None:
    files = tuple(Attachment(f"{number}.txt", "text/plain", b"x") for number in range(2_000))

    mail = captured(stage, "new", attachments=files)

    assert [one.attachment.name for one in mail.files] == [*(f"{number}.txt" for number in range(200)), "1800 more"]
    assert mail.files[-1].why == "Only the first 200 files of a mail are kept."


# -- where it lies


@old_and_new
def test_a_folder_with_a_name_of_10_kb_is_followed(stage: Stage, when: str) -> None:
    folder = stage.tenant.user(ADA).add_folder("Ordner 😀/\\\x00" * 1_000, "inbox")

    capture(stage, when, lambda time: stage.tenant.user(ADA).move(stage.mail(subject=BAD, received=time), folder))

    assert BAD in stage.timeline()


@old_and_new
def test_folders_300_deep_are_followed_and_left_out_together(stage: Stage, when: str) -> None:
    box = stage.tenant.user(ADA)
    followed, left_out = "inbox", "deleteditems"
    for level in range(300):
        followed = box.add_folder(f"Level {level}", followed)
        left_out = box.add_folder(f"Level {level}", left_out)

    def below(time: datetime) -> None:
        box.move(stage.mail(subject=BAD, received=time), followed)
        box.move(stage.mail(subject="Thrown away", received=time), left_out)

    capture(stage, when, below)

    assert BAD in stage.timeline()
    assert "Thrown away" not in stage.timeline()


@old_and_new
def test_folders_that_lie_in_each_other_are_followed(stage: Stage, when: str) -> None:
    box = stage.tenant.user(ADA)
    one = box.add_folder("One", "inbox")
    two = box.add_folder("Two", one)
    box.move_folder(one, two)
    alone = box.add_folder("Alone", "inbox")
    box.move_folder(alone, alone)

    def below(time: datetime) -> None:
        for folder in (two, alone):
            box.move(stage.mail(subject=BAD, received=time), folder)

    capture(stage, when, below)

    assert stage.timeline().count(BAD) == 2


# -- who is a contact


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_a_card_in_an_older_encoding_makes_a_contact_whose_mail_is_kept(stage: Stage, encoding: str) -> None:
    cards = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Jörg Müßig\r\nEMAIL:joerg@kunde.example\r\nEND:VCARD\r\n"

    report = stage.crm.import_vcards(vcard.decode(cards.encode(encoding)))
    captured(stage, "old", author="joerg@kunde.example")

    assert (report.imported, report.errors) == (1, ())
    assert stage.timeline("Jörg Müßig") == [BAD]
