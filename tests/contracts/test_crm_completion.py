"""Files that could not be had when their mail was stored, brought later: on memory and on Azurite."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dev.memory import ManualClock
from sync.crm.builtin import Builtin
from sync.crm.completion import united
from sync.model import Attachment, Filed, MailRecord
from sync.storage import Storage
from tests.builders import KEYS
from tests.contracts.crm_world import BEN, a_mail, all_changes, gapless, subjects

WHY = "Microsoft did not give it."


@pytest.fixture
def crm(storage: Storage, clock: ManualClock) -> Builtin:
    return Builtin(storage.tables, storage.blobs, KEYS, clock)


def a_file(name: str, size: int = 3) -> Attachment:
    """A file as Graph lists it."""
    return Attachment(f"id-{name}", name, "text/plain", size, False, "", "file")


def lacking(mail: MailRecord, *names: str) -> MailRecord:
    """The mail with files without bytes."""
    return replace(mail, attachments=tuple(Filed(a_file(name), why=WHY) for name in names))


def brought(crm: Builtin, mail: MailRecord, *names: str) -> MailRecord:
    """The mail with the bytes of these files."""
    files = [Filed(a_file(n), crm.file(mail.key, at, a_file(n), [n.encode()])) for at, n in enumerate(names)]
    return replace(mail, attachments=tuple(files))


def files_of(crm: Builtin, key: str) -> list[tuple[str, bool]]:
    """The files of a mail, and whether they have bytes."""
    mail = crm.mail(key)
    assert mail is not None
    return [(one.attachment.name, bool(one.file)) for one in mail.files]


def test_a_file_takes_its_place_and_the_feed_says_so_once(crm: Builtin, storage: Storage) -> None:
    mail = a_mail(1)
    crm.keep([lacking(mail, "a.txt")])
    whole = brought(crm, mail, "a.txt")

    done = [crm.complete(whole) for _ in range(2)]

    assert done == [True, False]
    (kept,) = crm.mail(mail.key).files  # type: ignore[union-attr]
    assert (kept.why, storage.blobs.get(kept.file).data) == ("", b"a.txt")  # type: ignore[union-attr]
    changes = all_changes(crm)
    assert [one.key for one in changes] == [mail.key] * 2
    assert gapless(changes)
    assert subjects(crm) == [mail.envelope.subject]


def test_a_mail_whose_files_were_never_listed_has_them_then(crm: Builtin) -> None:
    mail = a_mail(1)
    crm.keep([mail])

    assert crm.complete(brought(crm, mail, "a.txt", "b.txt"))

    assert files_of(crm, mail.key) == [("a.txt", True), ("b.txt", True)]


def test_it_never_lacks_a_file_that_it_had(crm: Builtin) -> None:
    mail = a_mail(1)
    first = brought(crm, mail, "a.txt", "b.txt")
    a, b = first.attachments
    crm.keep([replace(first, attachments=(a, replace(b, file="", why=WHY)))])

    worse = crm.complete(lacking(mail, "a.txt", "b.txt"))
    better = crm.complete(replace(first, attachments=(replace(a, file="", why=WHY), b)))

    assert (worse, better) == (False, True)
    assert files_of(crm, mail.key) == [("a.txt", True), ("b.txt", True)]


def test_a_mail_that_does_not_stand_or_whose_copy_was_never_shown_is_left_alone(crm: Builtin, storage: Storage) -> None:
    mail = a_mail(1)
    assert not crm.complete(brought(crm, mail, "a.txt"))

    crm.keep([lacking(mail, "a.txt")])
    assert not crm.complete(brought(crm, replace(mail, mailbox=BEN), "a.txt"))
    assert files_of(crm, mail.key) == [("a.txt", False)]


def test_a_mail_that_was_told_apart_gets_its_own_files(crm: Builtin) -> None:
    first = a_mail(1)
    envelope = replace(first.envelope, id="another", subject="Another subject")
    second = replace(first, envelope=envelope)
    crm.keep([first])
    crm.keep([lacking(second, "a.txt")])

    assert crm.complete(brought(crm, second, "a.txt"))

    (apart,) = {one.key for one in all_changes(crm)} - {first.key}
    assert files_of(crm, apart) == [("a.txt", True)]
    assert files_of(crm, first.key) == []


def test_a_mail_with_a_large_list_of_files_is_completed(crm: Builtin) -> None:
    mail = a_mail(1)
    names = [f"{at}-{'x' * 400}.txt" for at in range(150)]
    crm.keep([lacking(mail, *names)])

    assert crm.complete(brought(crm, mail, *names))

    assert files_of(crm, mail.key) == [(name, True) for name in names]


def test_whoever_removes_the_mail_removes_the_files_that_came_later(
    crm: Builtin, storage: Storage, clock: ManualClock
) -> None:
    expires = clock() + timedelta(days=7)
    mail = a_mail(1, people=(), expires=expires)
    crm.keep([lacking(mail, "a.txt")])
    whole = brought(crm, mail, "a.txt")
    crm.complete(whole)

    clock.advance(8 * 86400)
    crm.purge(clock(), 10)

    assert crm.mail(mail.key) is None
    assert storage.blobs.get(whole.attachments[0].file) is None


def test_what_has_no_bytes_this_time_keeps_those_it_had() -> None:
    had = (Filed(a_file("a"), "file/a"), Filed(a_file("gone"), "file/gone"), Filed(a_file("b"), why=WHY))
    now = (Filed(a_file("a"), why=WHY), Filed(a_file("b"), "file/b"))

    assert united(had, now) == (had[0], now[1], had[1])
    assert united((), now) == now
