"""What no delta tells: the pass once a day, folders that come back, and a hand on the backfill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from dev.tenant.faults import Fault, Switches
from sync import fanout, folders
from sync.graph import wire
from sync.model import Folder
from sync.progress import pause, progress, resume
from sync.state import Place
from tests.builders import NOON
from tests.stage import ADA, CountingTables, Stage

DAY = timedelta(days=1)
HOUR = 3600


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(Switches(immutable_move_loses=True))
    yield stage
    stage.close()


def a_day_passes(stage: Stage) -> None:
    stage.clock.advance(24 * HOUR)
    stage.settle()


def test_a_mail_moved_out_and_back_between_two_rounds_is_found_the_next_day(stage):
    stage.add()
    stage.settle()
    box = stage.tenant.user(ADA)
    mail = stage.mail(subject="Lost")
    box.move(mail, "junkemail")
    stage.settle()
    box.move(mail, "inbox")
    box.move(mail, "junkemail")
    box.move(mail, "inbox")
    stage.settle()
    before = stage.timeline()

    a_day_passes(stage)

    assert (before, stage.timeline()) == ([], ["Lost"])


def test_old_mail_put_into_a_mailbox_later_is_found_the_next_day(stage):
    stage.add()
    stage.settle()
    stage.mail(subject="imported", received=NOON - 30 * DAY)
    stage.mail(subject="older than six months", received=NOON - 300 * DAY)

    a_day_passes(stage)

    assert stage.timeline() == ["imported"]


def test_the_pass_comes_once_a_day_and_counts_nothing_twice(stage):
    row = stage.add()
    stage.mail()
    stage.mail(author="who@else.example")
    stage.settle()
    before = progress(stage.world, row)
    asked: list[str] = []
    stage.tenant.before.append(lambda request: asked.append(request.url))

    for _ in range(3):
        a_day_passes(stage)

    assert sum("filter=lastModifiedDateTime%20ge" in url for url in asked) == 3
    after = progress(stage.world, row)
    assert {name: after[name] for name in ("seen", "kept", "skipped")} == {
        name: before[name] for name in ("seen", "kept", "skipped")
    }


def test_a_pass_without_news_writes_its_place_and_no_run(stage):
    stage.add()
    stage.mail()
    stage.settle()
    runs = len(stage.world.log.runs()[0])
    stage.clock.advance(24 * HOUR)
    counting = CountingTables(stage.tables)

    stage.settle(stage.a_worker(counting))

    assert set(counting.written) <= {"AccordState", "AccordWanted"}
    assert len(stage.world.log.runs()[0]) == runs


def test_a_pass_of_many_pages_goes_on_where_a_job_broke_off(stage, monkeypatch):
    monkeypatch.setattr(wire, "LIST_PAGE", 3)
    stage.add()
    stage.settle()
    for number in range(10):
        stage.mail(subject=f"old {number}", received=NOON - (30 + number) * DAY)
        stage.clock.advance(60)

    a_day_passes(stage)

    assert len(stage.timeline()) == 10


def with_a_deleted_folder(stage: Stage) -> Callable[[], None]:
    """A mailbox that was read while a folder of old mail lay in its deleted items; returns what puts it back."""
    box = stage.tenant.user(ADA)
    folder = box.add_folder("Project", "deleteditems")
    box.move(stage.mail(subject="Kept in the project", received=NOON - 40 * DAY), folder)
    stage.add()
    stage.settle()
    return lambda: box.move_folder(folder, "msgfolderroot")


def test_a_folder_that_comes_back_from_the_deleted_items_brings_its_old_mail(stage):
    put_back = with_a_deleted_folder(stage)
    before = stage.timeline()

    put_back()
    stage.clock.advance(6 * HOUR)  # no mail changed: the next full round sees it
    stage.settle()

    assert (before, stage.timeline()) == ([], ["Kept in the project"])


def test_a_folder_that_outlook_hides_is_left_out_with_what_lies_below():
    tree = [Folder("h", "Hidden", "root", hidden=True), Folder("below", "Below", "h"), Folder("inbox", "Inbox", "root")]

    found = {one.folder: one for one in folders.placed(tree, {}, ())}

    assert [found[name].skipped for name in ("h", "below", "inbox")] == [True, True, False]


def test_a_hidden_folder_that_shows_itself_counts_from_then_on():
    places = {"h": Place("h", "root", skipped=True, hidden=True)}

    [shown] = folders.placed([Folder("h", "Shown", "root")], places, ())

    assert (shown.skipped, shown.hidden) == (False, False)


# -- a hand on the backfill


def filled(stage: Stage, monkeypatch: pytest.MonkeyPatch, mails: int = 8) -> None:
    monkeypatch.setattr(wire, "LIST_PAGE", 2)
    for number in range(mails):
        stage.mail(subject=f"mail {number}", received=NOON - (number * 20 + 10) * DAY)


def test_a_paused_backfill_stops_after_its_page_while_new_mail_goes_on(stage, monkeypatch):
    filled(stage, monkeypatch)
    row = stage.add()
    fanout.tick(stage.world)
    stage.work_one("sync-mail")
    stage.work_one("backfill-mail")
    first = stage.timeline()

    pause(stage.world, stage.world.state.mailbox(row.id))
    stage.mail(subject="new")
    stage.settle(ticks=6)

    assert stage.timeline() == ["new", *first]
    shown = progress(stage.world, stage.world.state.mailbox(row.id))
    assert (shown["backfill"], shown["rate"], shown["left"]) == ("paused", None, None)


def test_a_resumed_backfill_goes_on_where_it_stopped(stage, monkeypatch):
    filled(stage, monkeypatch)
    row = stage.add()
    fanout.tick(stage.world)
    stage.work_one("sync-mail")
    stage.work_one("backfill-mail")
    pause(stage.world, stage.world.state.mailbox(row.id))
    stage.settle()

    resume(stage.world, stage.world.state.mailbox(row.id))
    stage.settle()

    assert len(stage.timeline()) == 8
    assert stage.world.state.mailbox(row.id).backfill == "done"


def test_pausing_what_is_done_and_resuming_what_runs_change_nothing(stage):
    row = stage.add()
    stage.settle()
    done = stage.world.state.mailbox(row.id)

    pause(stage.world, done)
    resume(stage.world, done)

    assert stage.world.state.mailbox(row.id) == done


def test_a_backfill_paused_before_it_began_waits_until_it_is_resumed(stage):
    stage.mail(received=NOON - DAY)
    row = stage.add()
    pause(stage.world, row)
    stage.settle()
    before = stage.timeline()

    resume(stage.world, stage.world.state.mailbox(row.id))
    stage.settle()

    assert (before, stage.timeline()) == ([], ["Review"])


def test_progress_tells_rate_and_time_left(stage, monkeypatch):
    filled(stage, monkeypatch)
    row = stage.add()
    fanout.tick(stage.world)
    stage.work_one("sync-mail")
    stage.work_one("backfill-mail")
    stage.clock.advance(60)
    stage.work_one("backfill-mail")

    shown = progress(stage.world, stage.world.state.mailbox(row.id))

    assert shown["rate"] == shown["seen"] > 2
    assert 0 < shown["percent"] < 100
    assert shown["left"] == pytest.approx(60 * (100 - shown["percent"]) / shown["percent"], rel=0.05)


# -- what breaks off in the middle


def test_a_folder_that_comes_back_has_its_old_mail_listed_also_when_the_round_breaks_off(stage):
    with_a_deleted_folder(stage)()
    stage.tenant.faults.add(Fault(match="GET .*messages/delta.*deltatoken", kind="throttle", after=10, nth=2))

    stage.clock.advance(6 * HOUR)
    stage.settle(ticks=5)

    assert stage.tenant.faults.fired
    assert stage.timeline() == ["Kept in the project"]


def test_a_folder_that_was_gone_for_a_moment_is_followed_again_also_when_the_round_breaks_off(stage):
    row = stage.add()
    stage.settle()
    places = len([one for one in stage.world.state.look(row.id, "mail")[1] if not one.skipped])
    stage.tenant.faults.add(Fault(match="GET .*messages/delta.*deltatoken", kind="not_found", nth=1))
    stage.tenant.faults.add(Fault(match="GET .*messages/delta.*deltatoken", kind="throttle", after=10, nth=2))

    stage.mail()
    stage.settle(ticks=5)

    assert len(stage.tenant.faults.fired) == 2
    assert len([one for one in stage.world.state.look(row.id, "mail")[1] if not one.skipped]) == places
    assert stage.timeline() == ["Review"]


def test_a_delta_that_tells_of_mail_older_than_the_policy_looks_at_brings_none():
    stage = Stage(Switches(old_changes_pass_filter=True))
    old = stage.mail(subject="ten years old", received=NOON - 3650 * DAY)
    stage.add()
    stage.settle()

    stage.tenant.user(ADA).mark_read(old)
    stage.settle()

    assert stage.timeline() == []
    stage.close()
