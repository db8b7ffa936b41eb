"""What goes wrong on the way, and that nothing is lost or doubled by it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from dev.tenant.faults import Fault, Switches
from sync import capture, fanout, jobs
from sync.errors import BadJob, CursorGone, LeaseLost
from sync.model import Trouble
from tests.builders import NOON
from tests.machines.world import HostedStage
from tests.stage import ADA, Fuse, FusedQueue, FusedTables, Stage, Stopped, a_job

DAY = timedelta(days=1)
HOUR = 3600


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def filled(stage: Stage, mails: int = 5) -> list[str]:
    """Old mail from before the start."""
    return [stage.mail(subject=f"mail {number}", received=NOON - (number + 1) * DAY) for number in range(mails)]


ALL = [f"mail {number}" for number in range(5)]


@pytest.mark.parametrize(
    "match", ["GET .*mailFolders/delta", "GET .*/messages/delta", r"GET .*/messages\?", "POST .*batch"]
)
@pytest.mark.parametrize(
    "kind", ["throttle", "unavailable", "gateway_timeout", "reset", "truncate", "timeout", "malformed", "html"]
)
def test_one_refusal_anywhere_only_costs_time(stage, match, kind):
    filled(stage)
    stage.add()
    stage.tenant.faults.add(Fault(match=match, kind=kind, after=12 if kind in {"throttle", "unavailable"} else None))

    stage.settle(ticks=5)

    assert stage.tenant.faults.fired
    assert stage.timeline() == ALL
    assert stage.status().status == "connected"


def test_a_throttled_job_is_put_back_with_the_delay_graph_asked_for(stage):
    row = stage.add()
    stage.tenant.faults.add(Fault(match="mailFolders/delta", kind="throttle", after=77))

    jobs.work(stage.world, "sync-mail", a_job(row).to_json(), capture.live)

    assert stage.queue.messages("sync-mail") == []
    stage.clock.advance(76)
    assert stage.queue.messages("sync-mail") == []
    stage.clock.advance(2)
    assert len(stage.queue.messages("sync-mail")) == 1
    assert stage.status(row.address).status == "waiting"


@pytest.mark.parametrize("kind", ["throttle", "not_found", "forbidden", "unavailable"])
def test_one_refused_part_of_a_batch_takes_no_other_with_it(stage, kind):
    filled(stage)
    stage.add()
    stage.tenant.faults.add(Fault(match="part:GET .*messages", kind=kind, nth=2, after=3))

    stage.settle(ticks=5)

    gone = kind in {"not_found", "forbidden"}
    assert len(stage.timeline()) == (4 if gone else 5)
    errors = sum(run.errors for run in stage.world.log.runs()[0])
    assert errors == (1 if kind == "forbidden" else 0)


def test_a_message_that_graph_refuses_again_and_again_is_an_error_row(stage):
    message = filled(stage)[2]
    stage.add()
    stage.tenant.faults.add(Fault(match=f"part:GET .*{message.rstrip('=')}", kind="unavailable", times=None))

    stage.settle(ticks=14)

    items = [item for run in stage.world.log.runs()[0] for item in stage.world.log.items(run.id)[0]]
    assert [(item.name, item.outcome) for item in items if item.outcome == "error"] == [(message, "error")]
    assert len(stage.timeline()) == 4


@pytest.mark.parametrize("kind", ["unavailable", "gateway_timeout", "forbidden", "server_error", "unauthorized"])
def test_when_all_bodies_are_refused_for_a_while_nothing_is_lost(stage, kind):
    filled(stage)
    stage.add()
    stage.tenant.faults.add(Fault(match="part:GET .*messages", kind=kind, times=None))
    stage.settle(ticks=4)
    assert stage.timeline() == []

    stage.tenant.faults.clear()
    stage.clock.advance(HOUR)
    stage.settle(ticks=4)

    assert stage.timeline() == ALL


def test_one_passing_404_drops_no_folder_for_ever(stage):
    stage.add()
    stage.settle()
    stage.tenant.faults.add(Fault(match="messages/delta", kind="not_found", times=30))
    stage.mail(subject="meanwhile")
    stage.settle(ticks=3)
    stage.tenant.faults.clear()

    stage.settle()

    assert stage.timeline() == ["meanwhile"]


def test_under_a_lasting_refusal_there_is_one_chain_of_jobs_and_it_waits_as_told(stage):
    """I11: two chains that both put themselves back would double the requests hour by hour."""
    filled(stage)
    stage.add()
    stage.settle()
    stage.tenant.faults.add(Fault(match="graph.microsoft.com", kind="throttle", after=600, times=None))
    calls = stage.tenant.counts()["calls"]

    for _ in range(12 * 6):
        stage.settle(ticks=1)

    assert stage.tenant.counts()["calls"] - calls <= 6 * 6 + 6


def test_a_throttled_backfill_page_goes_on_where_it_was_refused(stage):
    for number in range(60):
        stage.mail(subject=f"{number}", received=NOON - (number + 1) * DAY)
    stage.add()
    for nth in range(30, 400, 30):
        stage.tenant.faults.add(Fault(match="part:GET .*messages", kind="throttle", nth=nth, after=5))

    stage.settle(ticks=10)

    assert len(stage.timeline()) == 60
    assert stage.tenant.counts()["body_reads"] <= 70


def test_a_folder_whose_pages_lead_to_themselves_is_an_error_row_and_the_others_have_their_turn(stage):
    ada = stage.tenant.user(ADA)
    stage.add()
    stage.settle()
    looping = ada.folder("archive").id
    world = stage.world
    real = world.connect

    class Looping:
        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def follow(self, link):
            raise CursorGone("A page of a folder's changes leads to itself.")

    folders = [place.folder for place in stage.world.state.look(next(world.state.mailboxes()).id, "mail")[1]]
    assert looping in folders
    stage.world = replace(world, connect=lambda row: Looping(real(row)))
    stage.mail(subject="beside it")
    stage.settle()

    errors = [item for run in world.log.runs()[0] for item in world.log.items(run.id)[0] if item.outcome == "error"]
    assert stage.timeline() == ["beside it"]
    assert all("leads to itself" in item.reason for item in errors)


def test_an_error_row_stands_in_the_log_before_the_place_passes_it():
    """I8: killed before any effect and redelivered, an unreadable message is in the log or comes again."""
    for effects in range(60):
        stage = Stage(Switches(one_message_without_id=True))
        row = stage.add()
        stage.settle()
        stage.mail(subject="unreadable")
        fuse = Fuse(effects)
        worker = stage.a_worker(FusedTables(stage.tables, fuse), FusedQueue(stage.queue, fuse))
        killed = False
        try:
            jobs.work(worker, "sync-mail", a_job(row).to_json(), capture.live)
        except Stopped:
            killed = True
        stage.clock.advance(601)
        jobs.work(stage.a_worker(), "sync-mail", a_job(row).to_json(), capture.live)
        items = [item for run in stage.world.log.runs()[0] for item in stage.world.log.items(run.id)[0]]
        stage.close()

        assert any(item.outcome == "error" for item in items), f"killed before effect {effects}"
        if not killed:
            return
    pytest.fail("the job never ended")


@pytest.mark.parametrize("code", ["syncStateNotFound", "resyncRequired"])
def test_a_lost_delta_link_is_a_normal_path(stage, code):
    filled(stage)
    stage.add()
    stage.settle()
    before = stage.rows()
    stage.tenant.faults.add(Fault(match="messages/delta", kind="gone", code=code, times=3))
    stage.mail(subject="meanwhile")

    stage.settle()

    assert stage.timeline() == ["meanwhile", *ALL]
    assert set(before["CrmRecords"]) <= set(stage.rows()["CrmRecords"])


def test_a_lost_place_in_the_folder_tree_is_read_again_in_full(stage):
    stage.add()
    stage.settle()
    stage.tenant.faults.add(Fault(match="mailFolders/delta", kind="gone"))
    stage.tenant.user(ADA).add_folder("Clients", "inbox")
    stage.mail(folder="inbox/Clients")

    stage.settle()

    assert stage.timeline() == ["Review"]


def test_a_refused_token_is_replaced_once_without_anybody_noticing(stage):
    stage.add()
    stage.settle()
    stage.tenant.revoke_tokens()
    stage.mail()

    stage.settle()

    assert stage.timeline() == ["Review"]
    assert stage.status().status == "connected"


def test_a_mailbox_that_may_not_be_read_tells_the_admin_at_once_and_goes_on_by_itself_later(stage):
    filled(stage)
    row = stage.add()
    stage.tenant.faults.add(Fault(match="graph.microsoft.com", kind="forbidden", times=None))

    stage.settle(ticks=1)

    blocked = stage.status(row.address)
    assert stage.tenant.faults.fired
    assert (blocked.status, blocked.title) == ("blocked", "Access denied")
    assert "Grant the app Mail.Read" in blocked.remedy

    stage.tenant.faults.clear()
    stage.clock.advance(HOUR)
    stage.settle(ticks=4)
    assert stage.timeline() == ALL
    assert stage.status(row.address).status == "connected"


def test_a_mailbox_that_does_not_exist_is_named_with_a_remedy(stage):
    row = stage.world.state.add_mailbox(stage.tenant.tenant_id, "nobody@firm.example")

    stage.settle(ticks=1)

    assert stage.status(row.address).status == "blocked"
    assert "Check the spelling" in stage.status(row.address).remedy


def test_a_fault_in_one_mailbox_changes_nothing_in_another(stage):
    stage.mail()
    stage.world.state.add_mailbox(stage.tenant.tenant_id, "nobody@firm.example")
    stage.add()

    stage.settle()

    assert stage.timeline() == ["Review"]


def test_a_job_delivered_again_and_again_changes_nothing(stage):
    filled(stage)
    row = stage.add()
    stage.settle()
    before = stage.rows()

    for _ in range(3):
        jobs.work(stage.world, "sync-mail", a_job(row).to_json(), capture.live)
        jobs.work(stage.world, "backfill-mail", a_job(row).to_json(), capture.backfill)
    stage.settle()

    assert stage.rows() == before


def test_a_job_that_finds_the_lease_taken_asks_for_another_run_and_ends(stage):
    row = stage.add()
    stage.settle()
    opened = stage.world.state.open(row.id, "mail")
    calls = stage.tenant.counts()["calls"]

    jobs.work(stage.world, "sync-mail", a_job(row).to_json(), capture.live)

    assert stage.tenant.counts()["calls"] == calls
    stage.world.state.save(opened.lease, release=True)
    stage.mail()
    stage.settle()
    assert stage.timeline() == ["Review"]


def test_a_worker_that_slept_through_its_lease_writes_nothing_more(stage):
    row = stage.add()
    stage.settle()
    mine = stage.world.state.open(row.id, "mail")
    stage.clock.advance(121)
    taken = stage.world.state.open(row.id, "mail")

    assert taken.lease.number == mine.lease.number + 1
    with pytest.raises(LeaseLost):
        stage.world.state.save(mine.lease, {"opened": "stale"})
    assert stage.world.state.cursor(row.id, "mail") == taken.cursor


@pytest.mark.parametrize("redelivered", [False, True])
def test_killed_before_any_write_or_message_it_ends_the_same(redelivered):
    """The process dies before its n-th effect, for every n; a new one goes on, with or without a redelivery."""
    expected = None
    last = {"message_id": "<last@client.example>", "sent": NOON, "received": NOON + DAY}
    for effects in range(200):
        stage = Stage(Switches(page_size_cap=3))
        filled(stage)
        row = stage.add()
        fuse = Fuse(effects)
        worker = stage.a_worker(FusedTables(stage.tables, fuse), FusedQueue(stage.queue, fuse))
        killed = False
        try:
            stage.settle(worker, ticks=2)
        except Stopped:
            killed = True
        survivor = stage.a_worker()
        if redelivered:
            stage.queue.put("sync-mail", a_job(row).to_json())
            stage.queue.put("backfill-mail", a_job(row).to_json())
        stage.clock.advance(601)
        stage.mail(subject="after the crash", **last)
        stage.settle(survivor, ticks=5)
        found, stored = stage.timeline(), stage.rows()
        stage.close()

        assert found == ["after the crash", *ALL], f"killed before effect {effects}"
        expected = expected or stored
        assert stored == expected, f"killed before effect {effects}"
        if not killed:
            assert effects > 20
            return
    pytest.fail("the run never ended")


def test_what_fails_four_times_in_a_row_is_tried_by_the_hour_and_as_before_once_it_succeeds():
    """T7: the host tries five times, then Accord by the hour."""
    stage = HostedStage(mailboxes=(ADA,))
    row = stage.add()
    stage.cycle()
    stage.tenant.faults.add(Fault(match="messages", kind="bad_request", times=None))
    stage.mail()

    def given_up_in_an_hour() -> int:
        stage.parked.clear()
        for _ in range(12):
            stage.cycle()
        return len(stage.parked)

    given_up_in_an_hour()
    again = given_up_in_an_hour()
    failing = stage.world.state.mailbox(row.id)
    stage.tenant.faults.clear()
    given_up_in_an_hour()
    mended = stage.world.state.wants.wanted(row.id, "mail").failures
    stage.mail(subject="Next")
    stage.cycle()
    stage.close()

    assert again == 1
    assert (failing.trouble.status, "refused" in failing.trouble.sentence) == ("failing", True)
    assert mended == 0
    assert stage.timeline() == ["Next", "Review"]


def test_a_message_of_a_later_release_is_refused_by_name_and_ends_in_the_log(stage):
    later = a_job(stage.add()).to_json().replace('"version":1', '"version":2')

    with pytest.raises(BadJob, match="version 2"):
        jobs.work(stage.world, "sync-mail", later, capture.live)
    jobs.poisoned(stage.world, "sync-mail", later)

    (run,) = stage.world.log.runs()[0]
    assert (run.reason, run.errors, run.job) == ("poisoned", 1, later)
    assert "version 2" in run.sentence


@pytest.mark.parametrize("text", ["no json", "[" * 100_000, "\ufffd" * 20_000, '{"version": "' + "x" * 40_000 + '"}'])
def test_a_poison_message_of_any_make_ends_in_the_log(stage, text):
    jobs.poisoned(stage.world, "sync-mail", text)

    (run,) = stage.world.log.runs()[0]
    assert run.job == text[:4000]


def test_a_job_that_failed_for_good_is_logged_with_its_last_reason(stage):
    row = stage.add()
    stage.world.state.note(row, trouble=Trouble("failing", "error", "The last reason."))

    jobs.poisoned(stage.world, "sync-mail", a_job(row).to_json())

    (run,) = stage.world.log.runs()[0]
    assert (run.mailbox, run.sentence) == (row.id, "The last reason.")


def test_a_bug_rises_to_the_host_and_leaves_its_class_but_no_content(stage):
    row = stage.add()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("dear Rosa, your secret")

    with pytest.raises(ZeroDivisionError):
        jobs.work(stage.world, "sync-mail", a_job(row).to_json(), broken)

    assert "ZeroDivisionError" in stage.world.state.mailbox(row.id).trouble.sentence
    assert "secret" not in stage.world.state.mailbox(row.id).trouble.sentence


@pytest.mark.parametrize("change", [{"connection": "another-tenant"}, {"subjects": ("f" * 32,)}])
def test_a_job_for_a_mailbox_that_is_not_its_connections_is_dropped(stage, change):
    row = stage.add()

    jobs.work(stage.world, "sync-mail", a_job(row, **change).to_json(), capture.live)

    assert stage.tenant.counts()["calls"] == 0


def test_no_word_of_a_mail_leaves_the_crm(stage, caplog):
    """S28: canaries in subject, body, addresses, token and secret stand in no log, run, state or message."""
    caplog.set_level(logging.DEBUG)
    canary = "canary7"
    stage.crm.save_contact("Canary", [f"{canary}@client.example"])
    for _ in range(2):
        stage.mail(author=f"{canary}@client.example", subject=f"{canary} subject", body=f"<p>{canary} body</p>")
    stage.tenant.faults.add(Fault(match="part:GET .*messages", kind="forbidden"))
    stage.add()
    stage.settle(ticks=1)
    stage.mail(author=f"{canary}@client.example", subject=f"{canary} again", body=f"<p>{canary} body</p>")
    stage.tenant.faults.add(Fault(match="messages/delta", kind="malformed"))
    stage.settle()

    assert stage.timeline("Canary")
    kept = " ".join(
        str(row)
        for table in ("AccordState", "AccordWanted", "AccordRuns", "AccordRunItems")
        for row in stage.tables.scan(table)
    )
    for said in (caplog.text, kept):
        for secret in (canary, stage.tenant.client_secret, stage.signin.token(), ADA):
            assert secret not in said


def test_a_lost_first_message_is_made_good_by_the_tick(stage):
    stage.mail()
    stage.add()
    fanout.tick(stage.world)
    while stage.queue.take("sync-mail"):
        pass

    stage.settle()

    assert stage.timeline() == ["Review"]
