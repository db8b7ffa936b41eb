"""Errors, done once more: a mail, an attachment, a folder, a run and a job that was given up (T4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dev.firm import Attachment
from dev.tenant.faults import Fault
from sync import fanout, jobs, lists, mailboxes, mend, poll, progress, retention, retry
from sync.errors import BadItem
from sync.model import Run, RunItem
from sync.policy import LogPolicy
from sync.retries import Asked
from tests.builders import NOON
from tests.stage import ADA, BEN, FIRM, Fuse, FusedQueue, FusedTables, Stage, Stopped, a_job

DAY = timedelta(days=1)
PDF = Attachment("offer.pdf", "application/pdf", b"%PDF-1.4 an offer")
BODY = "part:GET .*messages/[^/]*\\?"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def in_scope(stage: Stage, address: str = ADA) -> str:
    """A mailbox that has been read; its id."""
    row = stage.add(address)
    stage.settle()
    return row.id


def failed(stage: Stage) -> list[tuple[Run, RunItem]]:
    """All error items, newest run first."""
    runs, _ = stage.world.log.runs(errors=True)
    return [(run, item) for run in runs for item in stage.world.log.items(run.id, errors=True)[0]]


def unreadable(stage: Stage, subject: str = "Unreadable", address: str = ADA, **fields: Any) -> tuple[Run, RunItem]:
    """A mail whose body Microsoft refuses for good, beside one that it gives: an error item."""
    stage.tenant.faults.add(Fault(match=BODY, kind="forbidden", times=1))
    stage.mail(address, subject=subject, **fields)
    stage.mail(address, subject=f"Beside {subject}")
    stage.settle()
    return failed(stage)[0]


def now(stage: Stage, error: tuple[Run, RunItem]) -> RunItem:
    """An error item as it is by now."""
    found = stage.world.log.item(error[0].id, error[1].number)
    assert found is not None
    return found


def the_mail(stage: Stage, subject: str = "Review") -> Any:
    """The stored mail of a subject."""
    mails = [stage.crm.mail(key.rpartition("|")[2]) for _, key in stage.rows()["CrmTimeline"]]
    return next(mail for mail in mails if mail.subject == subject)


# -- one item


def test_a_mail_that_can_be_read_again_stands_in_the_crm_and_its_error_says_so(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    (lost,) = {"Unreadable", "Beside Unreadable"} - set(stage.timeline())

    answer = retry.item(stage.world, error[0].id, error[1].number)
    asked = now(stage, error)
    stage.settle()

    assert (answer.queued, answer.refused, asked.retry) == (1, (), "queued")
    assert lost in stage.timeline()
    mended = now(stage, error)
    assert (mended.outcome, mended.retry, mended.retry_reason) == ("error", "mended", "")
    assert stage.crm.mail(mended.record).subject == lost
    assert mended.retried is not None
    assert stage.world.log.retries.waiting(error[0].mailbox, 9) == []


def test_the_retry_is_a_run_of_its_own_that_says_what_it_did(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    run = stage.world.log.runs()[0][0]

    assert (run.stream, run.seen, run.kept, run.errors) == ("mail-history", 1, 1, 0)


def test_a_mail_that_still_cannot_be_read_says_why_and_may_be_asked_for_again(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    stage.tenant.faults.add(Fault(match=BODY, kind="forbidden", times=1))
    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()
    again = now(stage, error)

    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    assert (again.retry, "403" in again.retry_reason) == ("failed", True)
    assert stage.status().status == "connected"
    assert now(stage, error).retry == "mended"


def test_a_mail_that_is_refused_for_a_moment_is_waited_for(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    retry.item(stage.world, error[0].id, error[1].number)
    stage.tenant.faults.add(Fault(match=r"GET .*/messages/[^/]*\?", kind="unavailable", times=2))

    stage.settle(ticks=4)

    assert now(stage, error).retry == "mended"
    assert now(stage, error).retried > NOON


def test_one_that_is_refused_for_ever_is_given_up_and_holds_up_nobody(stage: Stage) -> None:
    box = in_scope(stage)
    error, other = unreadable(stage, "One"), unreadable(stage, "Two")
    stage.tenant.faults.add(Fault(match=f"GET .*/messages/{error[1].name.rstrip('=')}", kind="unavailable", times=None))
    for one in (error, other):
        retry.item(stage.world, one[0].id, one[1].number)

    stage.settle(ticks=1)
    first = now(stage, error).retry, now(stage, other).retry
    stage.settle(ticks=8)

    assert first == ("queued", "mended")
    assert now(stage, error).retry == "failed"
    assert stage.world.log.retries.waiting(box, 9) == []


def test_a_mail_that_is_gone_says_so(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    stage.tenant.user(ADA).purge(error[1].name)

    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    assert (now(stage, error).retry, now(stage, error).retry_reason) == (
        "gone",
        "The mailbox has no such message any more.",
    )


def test_todays_rules_decide(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    stage.world.exclusions.exclude(lists.FIRM, "rosa@client.example")

    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    assert (now(stage, error).retry, now(stage, error).retry_reason) == (
        "left out",
        "Every address outside the firm is excluded.",
    )
    assert "Unreadable" not in stage.timeline() or "Beside Unreadable" not in stage.timeline()


def test_asking_twice_is_asking_once(stage: Stage) -> None:
    box = in_scope(stage)
    error = unreadable(stage)
    for _ in range(3):
        assert retry.item(stage.world, error[0].id, error[1].number).queued == 1
    waiting = stage.world.log.retries.waiting(box, 9)
    stage.settle()
    stored = stage.rows()

    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    assert len(waiting) == 1
    assert stage.rows() == stored
    assert (now(stage, error).retry, now(stage, error).retry_reason) == ("mended", "It stands in the CRM already.")


def test_for_what_nothing_can_be_done_the_reason_is_said(stage: Stage) -> None:
    box = in_scope(stage)
    error = unreadable(stage)
    row = stage.world.state.mailbox(box)
    run = error[0].id, error[1].number

    def refused(*named: Any) -> list[str]:
        answer = retry.item(stage.world, *(named or run))
        assert answer.queued == 0
        return [one.reason for one in answer.refused]

    assert refused("f" * 32, 0) == refused(run[0], 99) == ["The log has no such error any more."]
    stage.world.log.write(error[0], [RunItem("a message without an id", "error", "Why.")])
    assert refused(run[0], 0) == ["Microsoft Graph gave it no id: there is nothing to ask for again."]
    mailboxes.switch(stage.world, row, off=True)
    assert refused() == ["The mailbox is switched off."]
    mailboxes.remove(stage.world, row)
    assert refused() == ["The mailbox is not in scope any more."]
    assert retry.run(stage.world, "f" * 32).refused[0].reason == "The log has no such run any more."


# -- attachments and folders


def test_a_file_that_could_not_be_had_is_fetched_and_takes_its_place(stage: Stage) -> None:
    in_scope(stage)
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind="forbidden"))
    stage.mail(attachments=(PDF,))
    stage.settle()
    (error,) = failed(stage)
    assert the_mail(stage).files[0].why

    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    (kept,) = the_mail(stage).files
    assert (kept.why, stage.blobs.get(kept.file).data) == ("", PDF.content)
    assert (now(stage, error).retry, now(stage, error).record) == ("mended", error[1].record)
    assert stage.timeline().count("Review") == 1


def test_files_that_were_never_listed_are_there_after_a_retry(stage: Stage) -> None:
    in_scope(stage)
    stage.tenant.faults.add(Fault(match="part:GET .*attachments", kind="not_found"))
    stage.mail(attachments=(PDF,))
    stage.settle()
    (error,) = failed(stage)
    assert the_mail(stage).files == ()

    retry.item(stage.world, error[0].id, error[1].number)
    stage.settle()

    assert [one.attachment.name for one in the_mail(stage).files] == ["offer.pdf"]
    assert now(stage, error).retry == "mended"


def test_a_folder_that_can_be_read_again_says_so_and_one_that_is_gone_too(stage: Stage) -> None:
    box = in_scope(stage)
    keys, ada = stage.world.keys, stage.tenant.user(ADA)
    (inbox,) = [one for one in ada.folders.values() if one.name.lower() == "inbox"]
    names = [f"folder {keys.number('edge', one):016x}" for one in (inbox.id, "no such folder")]
    run = Run("1" * 32, stage.tenant.tenant_id, box, "mail", "due", stage.clock(), stage.clock(), errors=2)
    stage.world.log.write(run, [RunItem(name, "error", "Why.") for name in names])

    answer = retry.run(stage.world, run.id)
    stage.settle()

    assert answer.queued == 2
    assert [item.retry for item in stage.world.log.items(run.id)[0]] == ["mended", "gone"]


# -- runs and jobs


def test_a_run_that_failed_has_its_mailbox_looked_at_again_at_once(stage: Stage) -> None:
    in_scope(stage)
    stage.tenant.faults.add(Fault(match="messages/delta", kind="forbidden", times=None))
    stage.mail()
    stage.settle()
    run = next(run for run in stage.world.log.runs(errors=True)[0] if run.sentence)
    stage.tenant.faults.clear()
    assert (stage.status().status, stage.timeline(), run.stage) == ("blocked", [], "Microsoft Graph")

    answer = retry.run(stage.world, run.id)
    stage.settle(ticks=1)

    assert (answer.queued, answer.refused) == (1, ())
    assert (stage.status().status, stage.timeline()) == ("connected", ["Review"])
    assert stage.world.log.run(run.id).retried is not None


@pytest.mark.parametrize("queue", ["sync-mail", "history-mail", poll.QUEUE])
def test_a_job_that_was_given_up_goes_back_on_its_queue(stage: Stage, queue: str) -> None:
    box = in_scope(stage)
    row = stage.world.state.mailbox(box)
    stage.mail()
    jobs.poisoned(stage.world, queue, a_job(row).to_json())
    (run,) = stage.world.log.runs(errors=True)[0]

    answers = [retry.run(stage.world, run.id) for _ in range(2)]
    while stage.work():
        pass

    assert [one.queued for one in answers] == [1, 1]
    assert stage.timeline() == ([] if queue == "history-mail" else ["Review"])
    assert stage.world.log.run(run.id).retried is not None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no json", "The queue message is not JSON."),
        ('{"version": 99}', "version 99"),
        ('{"version":1,"connection":"x","kind":"mail","reason":"due","subjects":[]}', "names no mailbox"),
    ],
)
def test_a_message_that_is_no_job_of_ours_stays_given_up_and_says_why(stage: Stage, text: str, why: str) -> None:
    jobs.poisoned(stage.world, "sync-mail", text)
    (run,) = stage.world.log.runs(errors=True)[0]

    answer = retry.run(stage.world, run.id)

    assert answer.queued == 0
    assert why in answer.refused[0].reason
    assert stage.queue.messages("sync-mail") == []


def test_a_job_of_another_connection_or_of_no_queue_is_not_put_back(stage: Stage) -> None:
    row = stage.world.state.mailbox(in_scope(stage))
    jobs.poisoned(stage.world, "sync-mail", a_job(row, connection="another").to_json())
    stage.clock.advance(1)
    jobs.poisoned(stage.world, "sync-nothing", a_job(row).to_json())

    reasons = [retry.run(stage.world, run.id).refused[0].reason for run in stage.world.log.runs(errors=True)[0]]

    assert reasons == ["There is no queue of this name any more.", "The mailbox belongs to another connection now."]


# -- all of them


def test_all_errors_of_the_last_thirty_days_are_done_again_slice_by_slice(stage: Stage) -> None:
    for address in (ADA, BEN):
        in_scope(stage, address)
        unreadable(stage, f"First of {address}", address)
    stage.clock.advance(40 * 86400)
    stage.settle()
    for number in range(3):
        unreadable(stage, f"Late {number}")
    young = failed(stage)[:3]

    answers = [retry.errors(stage.world, limit=2)]
    while answers[-1].after:
        answers.append(retry.errors(stage.world, answers[-1].after, limit=2))
    stage.settle()

    assert sum(one.queued for one in answers) == 3
    assert len(answers) > 1
    assert [now(stage, error).retry for error in young] == ["mended"] * 3
    assert [item.retry for _, item in failed(stage)].count("") == 2
    assert retry.errors(stage.world).queued == 0


def test_a_run_with_more_errors_than_a_slice_goes_on_within_it(stage: Stage) -> None:
    box = in_scope(stage)
    run = a_run_with_errors(stage, box, 11)

    def asked(ask: Any) -> list[int]:
        answers = [ask("")]
        while answers[-1].after:
            answers.append(ask(answers[-1].after))
        return [one.queued for one in answers]

    all_of_them = asked(lambda after: retry.errors(stage.world, after, 4))
    assert sum(all_of_them) == 11
    assert max(all_of_them) <= 4
    assert asked(lambda after: retry.run(stage.world, run.id, after, 4)) == [4, 4, 3]
    stage.settle()
    assert {item.retry for item in stage.world.log.items(run.id)[0]} == {"failed"}
    with pytest.raises(BadItem):
        retry.errors(stage.world, "nowhere")


def a_run_with_errors(stage: Stage, box: str, many: int) -> Run:
    """A run that could not read so many messages, by ids that Microsoft does not know."""
    run = Run("1" * 32, stage.tenant.tenant_id, box, "mail", "due", stage.clock(), stage.clock(), errors=many)
    stage.world.log.write(run, [RunItem(f"AAMk{at:04}", "error", "Why.") for at in range(many)])
    return run


def test_more_than_a_mailbox_can_hold_is_refused_with_the_reason(stage: Stage) -> None:
    box = in_scope(stage)
    run = a_run_with_errors(stage, box, 5)
    there = [Asked(f"{at:032x}", "x", "2" * 32, at) for at in range(retry.MOST - 3)]
    stage.world.log.retries.add(box, there, stage.clock())

    answer = retry.run(stage.world, run.id)

    assert (answer.queued, len(answer.refused)) == (3, 2)
    assert "Too many" in answer.refused[0].reason


def test_many_are_done_by_several_jobs(stage: Stage) -> None:
    box = in_scope(stage)
    run = a_run_with_errors(stage, box, 2 * mend.SLICE + 5)
    retry.run(stage.world, run.id)
    fanout.tick(stage.world)

    left = []
    while len(stage.world.log.retries.waiting(box, 99)):
        stage.work_one("history-mail")
        left.append(len(stage.world.log.retries.waiting(box, 99)))

    assert left == [mend.SLICE + 5, 5, 0]
    assert {item.retry for item in stage.world.log.items(run.id)[0]} == {"failed"}


def test_while_old_mail_is_paused_a_retry_waits(stage: Stage) -> None:
    box = in_scope(stage)
    error = unreadable(stage)
    stage.world.state.note(stage.world.state.mailbox(box), backfill="paused")
    retry.item(stage.world, error[0].id, error[1].number)

    stage.settle()
    waited = now(stage, error).retry
    progress.resume(stage.world, stage.world.state.mailbox(box))
    stage.settle()

    assert (waited, now(stage, error).retry) == ("queued", "mended")


def test_wherever_asking_dies_asking_again_has_it_done(stage: Stage) -> None:
    in_scope(stage)
    error = unreadable(stage)
    at = 0
    while True:
        fuse = Fuse(at)
        world = stage.a_worker(FusedTables(stage.tables, fuse), FusedQueue(stage.queue, fuse))  # type: ignore[arg-type]
        at += 1
        try:
            retry.errors(world)
            break
        except Stopped:
            stage.settle(ticks=1)
            retry.errors(stage.world)
            stage.settle(ticks=1)
            assert now(stage, error).retry == "mended"
            stage.world.log.mark(error[0].id, [error[1].number], stage.clock(), "failed")
    assert at > 3


# -- how long


def test_old_runs_go_with_what_was_to_be_done_again_of_them(stage: Stage) -> None:
    stage.policy = FIRM.model_copy(update={"log": LogPolicy(runs_days=7)})
    box = in_scope(stage)
    error = unreadable(stage)
    stage.world.state.note(stage.world.state.mailbox(box), backfill="paused")
    retry.item(stage.world, error[0].id, error[1].number)
    stage.clock.advance(6 * 86400)
    retention.purge(stage.world)
    assert stage.world.log.run(error[0].id)

    stage.clock.advance(2 * 86400)
    retention.purge(stage.world)

    assert stage.world.log.runs(until=NOON + DAY)[0] == []
    assert stage.world.log.items(error[0].id) == ([], "")
    assert stage.world.log.retries.waiting(box, 9) == []


def test_a_purge_that_dies_anywhere_is_completed_by_the_next(stage: Stage) -> None:
    stage.policy = FIRM.model_copy(update={"log": LogPolicy(runs_days=7)})
    at = 0
    while True:
        run = Run("1" * 32, "tenant", "a" * 32, "mail", "due", stage.clock(), stage.clock(), errors=1)
        stage.world.log.write(run, [RunItem(str(item), "error" if item == 7 else "kept", "in") for item in range(150)])
        stage.clock.advance(8 * 86400)
        fuse = Fuse(at)
        at += 1
        try:
            retention.purge(stage.a_worker(FusedTables(stage.tables, fuse)))  # type: ignore[arg-type]
            break
        except Stopped:
            retention.purge(stage.world)
            assert [*stage.tables.scan("AccordRuns"), *stage.tables.scan("AccordRunItems")] == []
    assert at > 2
