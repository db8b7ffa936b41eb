"""What hangs on a mail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dev.firm import Attachment
from dev.tenant import Reference, Repeated
from dev.tenant.faults import Fault
from sync.policy import MailPolicy
from tests.builders import NOON
from tests.stage import ADA, FIRM, Stage

DAY = timedelta(days=1)
PDF = Attachment("offer.pdf", "application/pdf", b"%PDF-1.4 an offer")
LOGO = Attachment("logo.png", "image/png", b"\x89PNG", content_id="logo", inline=True)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(mailboxes=(ADA,))
    yield stage
    stage.close()


def the_mail(stage: Stage, subject: str = "Review"):
    """The stored mail of a subject."""
    for _, key in stage.rows()["CrmTimeline"]:
        mail = stage.crm.mail(key.rpartition("|")[2])
        if mail.subject == subject:
            return mail
    raise AssertionError(f"{subject} is not on a timeline")


def captured(stage: Stage, *attachments, **fields):
    """A mail with attachments, captured from the past and from now on."""
    stage.mail(attachments=attachments, received=NOON - DAY, sent=NOON - DAY, **fields)
    stage.add()
    stage.settle()
    return the_mail(stage)


def test_a_file_is_kept_with_its_bytes(stage):
    (kept,) = captured(stage, PDF).files

    assert (kept.attachment.name, kept.attachment.content_type, kept.why) == ("offer.pdf", "application/pdf", "")
    assert stage.blobs.get(kept.file).data == PDF.content


def test_an_inline_image_is_kept_though_graph_says_that_nothing_hangs_on_the_mail(stage):
    mail = captured(stage, LOGO, body="<p>Hello <img src='cid:logo'></p>")

    assert mail.attachments is False
    (kept,) = mail.files
    assert (kept.attachment.content_id, kept.attachment.inline) == ("logo", True)
    assert stage.blobs.get(kept.file).data == LOGO.content


def test_a_link_to_a_file_elsewhere_is_kept_by_name(stage):
    (kept,) = captured(stage, Reference("plan.docx", "https://files.example/plan.docx")).files

    assert (kept.attachment.kind, kept.file) == ("reference", "")
    assert "only its name" in kept.why


def test_a_file_above_the_limit_is_kept_by_name_and_never_fetched(stage):
    (kept,) = captured(stage, Attachment("film.mov", "video/quicktime", Repeated(100 * 1024 * 1024))).files

    assert (kept.file, kept.why) == ("", "Larger than 25 MB.")


@pytest.mark.parametrize(("choice", "files"), [("none", 0), ("names", 1)])
def test_the_policy_says_what_of_files_is_kept(stage, choice, files):
    stage.policy = FIRM.model_copy(update={"mail": MailPolicy(attachments=choice)})

    mail = captured(stage, PDF)

    assert len(mail.files) == files
    assert all(one.file == "" for one in mail.files)


def errors(stage: Stage):
    """Records of the error items of all runs."""
    items = [item for run in stage.world.log.runs()[0] for item in stage.world.log.items(run.id)[0]]
    return [item.record for item in items if item.outcome == "error"]


@pytest.mark.parametrize("kind", ["not_found", "forbidden", "gone", "redirect"])
def test_a_file_that_cannot_be_fetched_makes_an_error_row_and_stops_nothing(stage, kind):
    stage.mail(subject="Beside it", received=NOON - 2 * DAY)
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind=kind))

    mail = captured(stage, PDF, LOGO)

    assert [bool(one.file) for one in mail.files].count(False) == 1
    assert errors(stage) == [mail.key]
    assert "Beside it" in stage.timeline()


@pytest.mark.parametrize("kind", ["unavailable", "timeout", "reset"])
def test_a_file_that_cannot_be_fetched_for_a_moment_is_there_in_the_end(stage, kind):
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind=kind))

    mail = captured(stage, PDF, LOGO)

    assert [bool(one.file) for one in mail.files] == [True, True]
    assert errors(stage) == []


@pytest.mark.parametrize("kind", ["unavailable", "timeout", "reset"])
def test_a_file_that_never_comes_lets_its_mail_be_kept_without_it(stage, kind):
    stage.mail(subject="Beside it", received=NOON - 2 * DAY)
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind=kind, times=None))
    stage.mail(attachments=(PDF,), received=NOON - DAY, sent=NOON - DAY)
    stage.add()

    stage.settle(ticks=8)

    mail = the_mail(stage)
    assert [bool(one.file) for one in mail.files] == [False]
    assert errors(stage) == [mail.key]
    assert "Beside it" in stage.timeline()


def test_a_mail_that_is_gone_before_its_files_were_listed_says_that_they_are_missing(stage):
    stage.tenant.faults.add(Fault(match="part:GET .*attachments", kind="not_found"))

    mail = captured(stage, PDF)

    assert mail.files == ()
    assert errors(stage) == [mail.key]


def test_a_throttled_file_waits_and_is_there_in_the_end(stage):
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind="throttle", after=30))

    mail = captured(stage, PDF)

    assert [bool(one.file) for one in mail.files] == [True]


def test_a_list_of_files_that_is_refused_for_a_while_loses_nothing(stage):
    stage.tenant.faults.add(Fault(match="part:GET .*attachments", kind="unavailable", times=3))

    mail = captured(stage, PDF)

    assert [bool(one.file) for one in mail.files] == [True]


def test_hostile_names_lead_nowhere_and_stay_readable(stage):
    names = ["../../etc/passwd", "a\x00b.txt", "CON", "x" * 4000, "\u202efdp.exe", "a/b\\c?#%"]
    mail = captured(stage, *(Attachment(name, "text/plain", b"x") for name in names))

    assert len(mail.files) == len(names)
    assert len({one.file for one in mail.files}) == len(names)
    assert all(one.file.startswith(f"mail/{mail.key}/files/") for one in mail.files)


def test_hundreds_of_files_on_one_mail_are_bounded_and_say_so(stage):
    mail = captured(stage, *(Attachment(f"{number}.txt", "text/plain", b"x") for number in range(205)))

    assert len(mail.files) == 201
    assert mail.files[-1].attachment.name == "5 more"
