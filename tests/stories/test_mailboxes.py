"""What an admin does with a mailbox: off and on, begun again, removed and back, hurried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from dev.tenant.faults import Fault
from sync import fanout, mailboxes
from sync.errors import BadItem
from sync.graph.wire import Request
from sync.model import MailboxRow, Trouble
from tests.builders import NOON
from tests.stage import ADA, BEN, Fuse, FusedTables, Stage, Stopped

DAY = timedelta(days=1)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def old_mail(stage: Stage, count: int) -> list[str]:
    """So many mails of the last days; returns their subjects, newest first."""
    for number in range(count):
        stage.mail(subject=f"old {number}", received=NOON - (number + 1) * DAY)
    return [f"old {number}" for number in range(count)]


def asked_of_microsoft(stage: Stage, do: Callable[[], object]) -> int:
    """How many requests go out to Microsoft Graph meanwhile."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    stage.tenant.before.append(note)
    do()
    stage.tenant.before.remove(note)
    return len([url for url in asked if "graph.microsoft.com" in url])


def off(stage: Stage, row: MailboxRow, switched: bool = True) -> None:
    mailboxes.switch(stage.world, row, switched)


# -- off and on


def test_a_mailbox_that_is_off_is_not_read_and_catches_up_when_it_is_on(stage):
    row = stage.add()
    stage.mail(subject="before")
    stage.settle()
    off(stage, row)
    stage.mail(subject="meanwhile")

    asked = asked_of_microsoft(stage, stage.settle)
    while_off, standing = stage.timeline(), stage.status()
    off(stage, row, False)
    stage.settle()

    assert (asked, while_off, standing.cause) == (0, ["before"], "off")
    assert stage.timeline() == ["meanwhile", "before"]
    assert stage.status().cause == "connected"


def test_switching_off_stops_old_mail_too_and_it_goes_on_where_it_was(stage):
    subjects = old_mail(stage, 5)
    row = stage.add()
    fanout.tick(stage.world)
    stage.work_one("sync-mail")
    off(stage, row)

    asked = asked_of_microsoft(stage, stage.settle)
    off(stage, row, False)
    stage.settle()

    assert asked == 0
    assert stage.timeline() == subjects
    assert stage.status().cause == "connected"


def test_switching_off_another_mailbox_changes_nothing_here(stage):
    stage.add()
    off(stage, stage.add(BEN))
    stage.mail(subject="for Ada")

    stage.settle()

    assert stage.timeline() == ["for Ada"]
    assert stage.status(BEN).cause == "off"


# -- begun again


def test_a_mailbox_begun_again_is_read_from_the_start_and_nothing_is_doubled(stage):
    subjects = old_mail(stage, 5)
    row = stage.add()
    stage.mail(subject="new")
    stage.settle()
    before, changes = stage.rows(), stage.crm.newest()

    mailboxes.reset(stage.world, row)
    standing = stage.status()
    asked = asked_of_microsoft(stage, stage.settle)

    assert standing.cause == "new"
    assert asked > 5
    assert stage.timeline() == ["new", *subjects]
    assert (stage.rows(), stage.crm.newest()) == (before, changes)
    assert stage.status().cause == "connected"


def test_a_mailbox_begun_again_is_not_held_by_what_kept_its_old_mail(stage):
    row = stage.add()
    stage.world.state.wants.troubled(row.id, "mail-backfill", Trouble("failing", "error", "Failed."), failed=True)
    failing = stage.status()

    mailboxes.reset(stage.world, row)

    assert (failing.status, stage.status().status) == ("failing", "new")
    assert stage.world.state.wants.wanted(row.id, "mail-backfill").failures == 0


def test_a_mailbox_begun_again_forgets_what_kept_it_and_finds_a_new_owner_of_its_address(stage):
    row = stage.add("late@firm.example")
    stage.settle()
    blocked = stage.status("late@firm.example")
    stage.tenant.add_user("late@firm.example")
    stage.mail(to="late@firm.example", subject="there now")

    mailboxes.reset(stage.world, row)
    stage.settle()

    assert (blocked.status, blocked.cause) == ("blocked", "mailbox")
    assert stage.status("late@firm.example").cause == "connected"
    assert stage.timeline() == ["there now"]


def test_a_run_under_way_when_a_mailbox_is_begun_again_saves_no_place(stage):
    row = stage.add()
    stage.settle()
    stage.mail(subject="now")
    begun_again: list[bool] = []

    def reset(request: Request) -> None:
        if "delta" in request.url and not begun_again:
            begun_again.append(True)
            mailboxes.reset(stage.world, row)

    stage.tenant.before.append(reset)
    stage.settle()

    assert begun_again
    assert stage.timeline() == ["now"]
    assert stage.status().cause == "connected"


# -- removed, and back


def test_a_mailbox_removed_in_the_middle_of_a_run_writes_no_more_and_comes_back_without_a_gap(stage):
    subjects = old_mail(stage, 3)
    row = stage.add()
    stage.settle()
    stage.mail(subject="seen by the run")
    removed: list[bool] = []

    def remove(request: Request) -> None:
        if "delta" in request.url and not removed:
            removed.append(True)
            mailboxes.remove(stage.world, row)

    stage.tenant.before.append(remove)
    stage.settle()
    stage.tenant.before.clear()
    left = [(table, one.key) for table in ("AccordMailboxes", "AccordWanted") for one in stage.tables.scan(table)]
    places = [one.key for one in stage.tables.rows("AccordState", row.id)]
    stage.mail(subject="while it was away")
    away = asked_of_microsoft(stage, stage.settle)
    stage.add()
    stage.settle()

    assert removed
    assert (left, places, away) == ([], [], 0)
    assert stage.timeline() == ["while it was away", "seen by the run", *subjects]
    assert stage.status().cause == "connected"


def test_what_is_known_of_a_mailbox_never_brings_it_back_once_it_is_removed(stage):
    row = stage.add()
    stage.settle()
    mailboxes.remove(stage.world, row)

    stage.world.state.note(row, met=True, newest="later")
    mailboxes.switch(stage.world, row, True)
    mailboxes.assign(stage.world, row, "u" + "1" * 32)
    stage.world.state.wait("mailbox", row, NOON + DAY)

    assert stage.world.state.mailbox(row.id) is None
    assert list(stage.world.state.mailboxes()) == []


def test_a_mailbox_that_comes_back_has_its_exclusions_still(stage):
    row = stage.add()
    stage.world.exclusions.exclude(row.id, "client.example")
    mailboxes.remove(stage.world, row)
    stage.mail(subject="left out")

    stage.add()
    stage.settle()

    assert stage.timeline() == []


@pytest.mark.parametrize("effects", range(3))
def test_whoever_dies_while_he_removes_a_mailbox_removes_it_when_he_does_it_again(stage, effects):
    row = stage.add()
    stage.mail(subject="there")
    stage.settle()
    with pytest.raises(Stopped):
        mailboxes.remove(stage.a_worker(FusedTables(stage.tables, Fuse(effects))), row)

    mailboxes.remove(stage.world, row)
    left = [one.key for one in stage.tables.rows("AccordState", row.id)]

    assert left == []
    assert stage.world.state.wants.of(row.id) == []
    assert stage.world.state.mailbox(row.id) is None


# -- hurried


def test_a_mailbox_is_looked_at_at_once_when_somebody_asks(stage):
    row = stage.add()
    stage.settle()
    stage.mail(subject="hurry")

    mailboxes.sync_now(stage.world, row)
    stage.work()

    assert stage.timeline() == ["hurry"]


def test_while_microsoft_says_wait_asking_asks_nothing_and_is_served_when_the_wait_is_over(stage):
    row = stage.add()
    stage.settle()
    stage.mail(subject="patience")
    stage.world.state.wait("mailbox", row, stage.clock() + timedelta(minutes=10))

    def hurry() -> None:
        mailboxes.sync_now(stage.world, row)
        stage.work()
        stage.settle(ticks=1)

    asked = asked_of_microsoft(stage, hurry)
    waiting, before = stage.status(), stage.timeline()
    stage.clock.advance(301)
    stage.settle(ticks=2)

    assert (asked, waiting.cause, before) == (0, "throttled", [])
    assert stage.timeline() == ["patience"]


def test_asking_twice_makes_one_chain_of_jobs(stage):
    row = stage.add()
    stage.settle()

    for _ in range(3):
        mailboxes.sync_now(stage.world, row)
    first = asked_of_microsoft(stage, stage.work)
    mailboxes.sync_now(stage.world, row)
    second = asked_of_microsoft(stage, stage.work)

    assert first == second > 0


# -- found and counted


@pytest.mark.parametrize("address", ["ada@firm.example", " ADA@firm.example ", "<Ada@Firm.Example>"])
def test_a_mailbox_is_found_by_its_address_however_it_is_written(stage, address):
    row = mailboxes.add(stage.world, stage.tenant.tenant_id, address)

    assert mailboxes.find(stage.world, stage.tenant.tenant_id, ADA) == row
    assert mailboxes.find(stage.world, "another connection", ADA) is None
    assert mailboxes.find(stage.world, stage.tenant.tenant_id, "no address") is None


def test_what_is_no_address_is_not_taken_into_scope(stage):
    with pytest.raises(BadItem):
        mailboxes.add(stage.world, stage.tenant.tenant_id, "Ada")


def test_mailboxes_are_counted_by_how_they_stand(stage):
    stage.add()
    off(stage, stage.add(BEN))
    stage.add("gone@firm.example")
    stage.settle()

    assert mailboxes.counted(stage.world) == {"connected": 1, "off": 1, "mailbox": 1}


def test_a_page_shows_each_mailbox_as_it_stands_alone(stage):
    for address in (ADA, BEN, "gone@firm.example"):
        stage.add(address)
    stage.settle()
    stage.tenant.faults.add(Fault(match="delta", kind="forbidden", times=None))
    stage.settle()

    page = mailboxes.page(stage.world, 2)
    rest = mailboxes.page(stage.world, 2, page[-1].row.id)

    assert [one.row.id for one in page + rest] == [one.id for one in stage.world.state.mailboxes()]
    assert [one.status for one in page + rest] == [stage.status(one.row.address) for one in page + rest]
