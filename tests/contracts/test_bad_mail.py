"""Bad mail on Azurite: keys, values above 32 KB, rows near 1 MB and groups near 4 MB come out as memory gives them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from dev.firm import Attachment, Party
from dev.tenant import Repeated
from sync.crm.views import Mail
from sync.meter import Meter
from sync.policy import MailPolicy
from sync.storage import Storage, open_storage, prepare
from tests.builders import NOON
from tests.stage import ADA, FIRM, ROSA, Stage

MEGABYTE = 1024 * 1024
MANY = [f"client{number}@many.example" for number in range(10_000)]
NAMES = ["../../x", "CON", "\u202efdp.exe", "x" * 10_240, "a\x00b", "a/b\\c?#%", "", "😀.txt"]
BAD: dict[str, dict[str, Any]] = {
    "ten thousand recipients": {"cc": MANY},
    "addresses of 64 KB": {"author": Party("x" * 65_536, "x" * 65_536 + "@x.example"), "cc": (ROSA,)},
    "every value just below 30 KB": {
        "author": Party("ü" * 14_000, ROSA),
        "sender": Party("😀" * 7_000, ROSA),
        "cc": [Party("\x01" * 4_900, "c@x.example")],
        "bcc": [Party("ü" * 14_000, "d@x.example")],
        "message_id": "<" + "ü" * 14_000 + "@x>",
        "body": f"<p>{'ü' * 14_000}</p>",
    },
    "control characters": {"message_id": "<a\x00\x01\x1f\x7f'\"/\\#?%|@x>", "body": "<p>\x00\x01\x1b a</p>"},
    "another age": {"sent": datetime(1, 1, 1, tzinfo=UTC)},
    "an age to come": {"sent": datetime(3609, 1, 1, tzinfo=UTC)},
    "a body of 6 MB": {"body": "many wörds " * (6 * MEGABYTE // 12)},
    "hostile names of files": {"attachments": [Attachment(name, "text/plain", b"x") for name in NAMES]},
    "more files than are kept": {"attachments": [Attachment(f"{one}.txt", "text/plain", b"x") for one in range(205)]},
    "Long subjects " + "ö" * 150_000: {},
}


@pytest.fixture
def azure(account: str) -> Iterator[Storage]:
    """Empty storage on Azurite."""
    prepare(account)
    opened = open_storage(account, Meter())
    yield opened
    opened.close()


def on(storage: Storage | None, **mail: Any) -> Stage:
    """A stage on this storage, or in memory."""
    policy = FIRM.model_copy(update={"mail": MailPolicy(**mail)})
    stage = Stage(policy=policy, mailboxes=(ADA,))
    if storage is not None:
        stage.tables, stage.blobs = storage.tables, storage.blobs
        stage.world = stage.a_worker()
        stage.crm.save_contact("Rosa Client", [ROSA], "c" + "1" * 32)
    stage.crm.import_contacts("Name,Email\n" + "".join(f"Client {one},{one}\n" for one in MANY[:150]))
    return stage


def captured(stage: Stage) -> dict[str, Mail | None]:
    """Everything bad among ordinary mail, captured; the mails by key as the CRM shows them."""
    stage.mail(subject="An ordinary one before", received=NOON)
    for subject, fields in BAD.items():
        stage.mail(**{"subject": subject, "received": NOON, **fields})
    stage.mail(subject="An ordinary one after", received=NOON)
    stage.add()
    stage.settle()
    stage.close()
    return {key: stage.crm.mail(key) for key in {key.rpartition("|")[2] for _, key in stage.rows()["CrmTimeline"]}}


def test_every_bad_mail_comes_out_of_azurite_as_it_comes_out_of_memory(azure: Storage) -> None:
    in_memory, on_azurite = on(None), on(azure)

    there, here = captured(in_memory), captured(on_azurite)

    subjects = {mail.subject for mail in here.values() if mail}
    assert subjects == {*BAD, "An ordinary one before", "An ordinary one after"}
    assert here == there
    assert on_azurite.timeline() == in_memory.timeline()
    assert on_azurite.rows() == in_memory.rows()
    assert {run.errors for run in on_azurite.world.log.runs()[0]} == {0}


def test_a_file_of_100_mb_goes_into_the_storage_and_is_never_held(azure: Storage) -> None:
    stage = on(azure, attachment_mb=150)
    film = Attachment("film.mov", "video/quicktime", Repeated(100 * MEGABYTE))  # type: ignore[arg-type]
    stage.mail(subject="With a film", received=NOON, attachments=(film,))
    stage.mail(subject="An ordinary one", received=NOON)
    stage.add()
    tracemalloc.start()
    stage.settle()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    (file,) = {
        filed.file
        for mail in (stage.crm.mail(key.split("|")[2]) for _, key in stage.rows()["CrmTimeline"])
        for filed in (mail.files if mail else ())
    }
    stored = azure.blobs.get(file)
    assert peak < 24 * MEGABYTE
    assert stored is not None
    assert (len(stored.data), stored.data[-16:]) == (100 * MEGABYTE, b"0123456789abcdef")
    assert set(stage.timeline()) == {"With a film", "An ordinary one"}
    stage.close()
