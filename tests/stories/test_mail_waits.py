"""Microsoft says wait: who waits, for how long, and that nothing is asked before and nothing lost after."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from dev.firm import Attachment
from dev.tenant.exchange import Request
from dev.tenant.faults import Fault, Switches
from dev.tenant.limits import mailbox_in, mailboxes_in
from sync import capture, fanout, jobs
from sync.errors import StorageUnavailable
from sync.model import Job, MailboxRow
from tests.builders import NOON
from tests.stage import ADA, BEN, DOES, Stage, a_job

DAY = timedelta(days=1)
BOXES = tuple(f"user{number}@firm.example" for number in range(4))


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def asked(stage: Stage, mailbox: str) -> int:
    """Requests below a mailbox so far, each part of a batch by itself."""
    return seen(stage)[stage.tenant.canonical(mailbox)]


def seen(stage: Stage) -> Counter[str]:
    """Requests so far by mailbox; those of no mailbox under no name."""
    return stage.counted


@pytest.fixture(autouse=True)
def counting(request: pytest.FixtureRequest) -> None:
    """Have the stage count what reaches the tenant."""
    if "stage" in request.fixturenames:
        watch(request.getfixturevalue("stage"))


def watch(stage: Stage) -> None:
    """Count what reaches the tenant from now on."""
    stage.counted = Counter()
    lock = threading.Lock()

    def count(request: Request) -> None:
        with lock:
            for name, amount in (mailboxes_in(request) or Counter([""])).items():
                stage.counted[stage.tenant.canonical(name)] += amount

    stage.tenant.before.append(count)


def old_mail(stage: Stage, to: str = ADA, mails: int = 5) -> None:
    for number in range(mails):
        stage.mail(to, subject=f"{to} {number}", received=NOON - (number + 1) * DAY, sent=NOON - (number + 1) * DAY)


# -- whom a wait concerns


def test_a_backfill_that_is_refused_keeps_the_live_mail_of_its_mailbox_quiet_and_no_other_mailbox(stage):
    ada, ben = stage.add(ADA), stage.add(BEN)
    stage.settle()
    stage.world.state.wants.want(ada.id, "mail-backfill")
    opened = stage.world.state.open(ada.id, "mail-backfill")
    stage.world.state.save(opened.lease, {**opened.cursor, "done": False}, release=True)
    stage.tenant.faults.add(Fault(match=r"/messages\?", kind="throttle", after=900))
    fanout.tick(stage.world)
    stage.work()
    assert stage.tenant.faults.fired
    quiet, busy = asked(stage, ADA), asked(stage, BEN)

    stage.mail(ADA, subject="for Ada")
    stage.mail(BEN, subject="for Ben")
    for row in (ada, ben):
        stage.queue.put("sync-mail", a_job(row).to_json())
        stage.queue.put("sync-mail", a_job(row, reason="wanted").to_json())
    while stage.clock() < stage.world.state.mailbox(ada.id).not_before:
        assert asked(stage, ADA) == quiet
        assert stage.timeline() in ([], ["for Ben"])
        fanout.tick(stage.world)
        stage.work()
        stage.clock.advance(60)

    assert asked(stage, BEN) > busy
    assert stage.timeline() == ["for Ben"]
    stage.settle()
    assert sorted(stage.timeline()) == ["for Ada", "for Ben"]


@pytest.mark.parametrize(
    ("match", "scope"), [("batch", "app"), (r"/users/[^/]+\?", "connection"), ("oauth2/v2.0/token", "connection")]
)
def test_a_wait_of_everybodys_keeps_all_mailboxes_quiet_and_then_all_goes_on(stage, match, scope):
    old_mail(stage, ADA)
    old_mail(stage, BEN)
    stage.add(ADA)
    stage.add(BEN)
    stage.tenant.faults.add(Fault(match=match, kind="throttle", after=700))
    while not stage.tenant.faults.fired:
        fanout.tick(stage.world)
        stage.work()
        stage.clock.advance(61)
    until = stage.world.state.waits(stage.tenant.tenant_id)
    before = seen(stage).copy()

    while stage.clock() < until:
        assert seen(stage) == before
        fanout.tick(stage.world)
        stage.work()
        stage.clock.advance(30)

    stage.settle()
    assert sorted(stage.timeline()) == sorted(f"{who} {n}" for who in (ADA, BEN) for n in range(5))


@pytest.mark.parametrize("order", [(1, 4), (4, 1)])
def test_a_page_whose_mails_are_refused_for_two_reasons_comes_again_when_microsofts_time_is_over(stage, order):
    old_mail(stage)
    row = stage.add()
    told, broken = order
    stage.tenant.faults.add(Fault(match="part:GET .*/messages/", kind="throttle", position=told, after=300))
    stage.tenant.faults.add(Fault(match="part:GET .*/messages/", kind="unavailable", position=broken, times=2))
    fanout.tick(stage.world)

    while stage.work():
        pass

    assert {fault.kind for fault, _ in stage.tenant.faults.fired} == {"throttle", "unavailable"}
    assert [seconds for seconds, _ in stage.queue.waiting("backfill-mail")] == [300]
    assert stage.world.state.mailbox(row.id).not_before == NOON + timedelta(seconds=300)


@pytest.mark.parametrize("times", [(300, 20), (20, 300)])
def test_of_two_waits_named_for_the_mails_of_a_page_the_longer_counts(stage, times):
    old_mail(stage)
    stage.add()
    for position, after in zip((1, 4), times, strict=True):
        stage.tenant.faults.add(Fault(match="part:GET .*/messages/", kind="throttle", position=position, after=after))
    fanout.tick(stage.world)

    while stage.work():
        pass

    assert len(stage.tenant.faults.fired) == 2
    assert [seconds for seconds, _ in stage.queue.waiting("backfill-mail")] == [300]


def test_another_worker_reads_whom_microsoft_told_to_wait(stage):
    ada, ben = stage.add(ADA), stage.add(BEN)
    stage.settle()
    stage.tenant.faults.add(Fault(match="mailFolders/delta", kind="throttle", after=120))
    jobs.work(stage.world, "sync-mail", a_job(ada).to_json(), capture.live)
    other = stage.a_worker()
    before = asked(stage, ADA), asked(stage, BEN)

    jobs.work(other, "sync-mail", a_job(ada, reason="wanted").to_json(), capture.live)
    jobs.work(other, "backfill-mail", a_job(ada, reason="wanted").to_json(), capture.backfill)
    jobs.work(other, "sync-mail", a_job(ben).to_json(), capture.live)

    assert asked(stage, ADA) == before[0]
    assert asked(stage, BEN) > before[1]


def test_a_job_that_comes_too_early_is_put_back_for_the_rest_of_the_wait_and_a_polled_one_is_dropped(stage):
    row = stage.add()
    stage.settle()
    stage.world.state.wait("mailbox", row, stage.clock() + timedelta(seconds=90))

    jobs.work(stage.world, "sync-mail", a_job(row).to_json(), capture.live)
    assert stage.queue.waiting("sync-mail") == []

    jobs.work(stage.world, "sync-mail", a_job(row, reason="wanted").to_json(), capture.live)
    ((seconds, text),) = stage.queue.waiting("sync-mail")
    assert seconds == 90
    assert Job.from_json(text).reason == "wanted"


def test_after_a_wait_of_everybodys_jobs_come_back_spread(stage):
    rows = [stage.world.state.add_mailbox(stage.tenant.tenant_id, f"{number}@firm.example") for number in range(40)]
    stage.world.state.wait("app", rows[0], stage.clock() + timedelta(seconds=60))

    for row in rows:
        jobs.work(stage.world, "sync-mail", a_job(row, reason="wanted").to_json(), capture.live)

    back = [seconds for seconds, _ in stage.queue.waiting("sync-mail")]
    assert len(back) == 40
    assert 60 <= min(back) < max(back) <= 120
    assert max(Counter(back).values()) <= 6


def test_a_tick_queues_nothing_while_the_app_waits(stage):
    row = stage.add()
    stage.world.state.wait("app", row, stage.clock() + timedelta(seconds=60))

    assert fanout.tick(stage.world) == 0
    stage.clock.advance(60)
    assert fanout.tick(stage.world) == 1


# -- how many at once, by both readings of the limit


def drain(stage: Stage, queue: str) -> None:
    """Do all jobs of a queue that are visible now."""
    while (text := stage.queue.take(queue)) is not None:
        jobs.work(stage.world, queue, text, DOES[queue])


def work_in_threads(stage: Stage) -> None:
    """One worker of the host, with both streams of every mailbox under way at the same time."""
    bugs: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as bug:
            bugs.append(bug)
            raise

    def live(row: MailboxRow) -> None:
        for _ in range(6):
            jobs.work(stage.world, "sync-mail", a_job(row, reason="wanted").to_json(), capture.live)
        drain(stage, "sync-mail")

    rows = list(stage.world.state.mailboxes())
    works = [partial(live, row) for row in rows] + [partial(drain, stage, "backfill-mail") for _ in rows]
    running = [threading.Thread(target=run, args=(work,)) for work in works]
    for one in running:
        one.start()
    for one in running:
        one.join(60)
    assert not bugs
    assert not any(one.is_alive() for one in running)


def throttled_parts(stage: Stage) -> int:
    """How often the tenant refused somebody, single calls and parts of batches."""
    return sum(str(one["responseBody"]).count("MailboxConcurrency") for one in stage.tenant.exchanges)


@pytest.fixture(params=["mailbox", "app"])
def reading(request: pytest.FixtureRequest) -> str:
    return request.param


def test_by_either_reading_of_the_limit_mailboxes_worked_at_once_end_with_everything_and_nothing_twice(reading):
    stage = Stage(Switches(concurrency=reading, page_size_cap=6), mailboxes=BOXES)
    stage.tenant.recording = True
    stage.tenant.latency = 0.003
    for box in BOXES:
        old_mail(stage, box, mails=30)
        stage.add(box)

    fanout.tick(stage.world)
    drain(stage, "sync-mail")
    for number in range(12):
        for box in BOXES:
            stage.mail(box, subject=f"{box} new {number}")
        work_in_threads(stage)
        stage.clock.advance(31)
    stage.tenant.switches = Switches()
    stage.clock.advance(900)
    stage.settle()

    old = [f"{box} {number}" for box in BOXES for number in range(30)]
    new = [f"{box} new {number}" for box in BOXES for number in range(12)]
    timeline, refused, used = stage.timeline(), throttled_parts(stage), stage.tenant.high_water
    stage.close()
    assert sorted(timeline) == sorted(old + new)
    assert max(used[box] for box in BOXES) <= 4
    assert (refused == 0) == (reading == "mailbox")


# -- a storm


class Watch:
    """Knows whom Microsoft told to wait until when, from what the tenant answered, and finds who asks all the same."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.until: dict[str, Any] = {}
        self.early: list[str] = []
        self.fired = 0
        stage.tenant.before.append(self.look)

    def learn(self) -> None:
        """Note the refusals since the last look: each counts from the moment it was given."""
        for fault, text in self.stage.tenant.faults.fired[self.fired :]:
            name = mailbox_in(text)
            key = self.stage.tenant.canonical(name) if name else "everybody"
            until = self.stage.clock() + timedelta(seconds=fault.after)
            self.until[key] = max(self.until.get(key, until), until)
        self.fired = len(self.stage.tenant.faults.fired)

    def look(self, request: Request) -> None:
        """A request is on its way: was it let out too early?"""
        self.learn()
        names = {self.stage.tenant.canonical(name) for name in mailboxes_in(request)} | {"everybody"}
        if any(self.until.get(name, NOON) > self.stage.clock() for name in names):
            self.early.append(f"{request.method} {request.url}")


def test_a_storm_of_refusals_is_waited_out_without_one_call_too_early_and_nothing_is_lost():
    """Half of all calls are refused for ten minutes, each with a time of its own; single parts of batches as well."""
    stage = Stage(Switches(page_size_cap=4), mailboxes=BOXES)
    for box in BOXES:
        old_mail(stage, box, mails=8)
        stage.add(box)
    watch = Watch(stage)
    chance = random.Random(7)
    for nth in (nth for nth in range(1, 2000) if chance.random() < 0.5):
        stage.tenant.faults.add(
            Fault(match="", kind=("throttle", "unavailable")[nth % 4 // 2], nth=nth, after=5 + nth % 37)
        )
    for nth in range(3, 600, 5):
        stage.tenant.faults.add(Fault(match="part:GET", kind="throttle", nth=nth, after=8 + nth % 23))

    for minute in range(10):
        fanout.tick(stage.world)
        for box in BOXES:
            stage.mail(box, subject=f"{box} in minute {minute}")
        for _ in range(60):
            stage.work()
            watch.learn()
            stage.clock.advance(1)
    refused = len(stage.tenant.faults.fired)
    stage.tenant.faults.clear()
    stage.clock.advance(60)
    stage.settle(ticks=6)

    old = [f"{box} {number}" for box in BOXES for number in range(8)]
    new = [f"{box} in minute {minute}" for box in BOXES for minute in range(10)]
    timeline = stage.timeline()
    rows = list(stage.world.state.mailboxes())
    stage.close()
    assert refused > 20
    assert watch.early == []
    assert sorted(timeline) == sorted(old + new)
    assert {(row.met, row.trouble, row.backfill) for row in rows} == {(True, None, "done")}


# -- the token, and the storage


def test_a_token_revoked_in_the_middle_of_a_run_costs_one_more_sign_in_and_nothing_else(stage):
    old_mail(stage)
    stage.add()
    revoked = []

    def revoke(request: Request) -> None:
        if "$batch" in request.url and not revoked:
            revoked.append(request.url)
            stage.tenant.revoke_tokens()

    stage.tenant.before.append(revoke)
    before = stage.tenant.counts().get("token_calls", 0)

    stage.settle()

    assert revoked
    assert stage.tenant.counts()["token_calls"] == before + 2
    assert len(stage.timeline()) == 5
    assert stage.status().status == "connected"
    assert all(run.errors == 0 and not run.sentence for run in stage.world.log.runs()[0])


class BusyTables:
    """Tables that do not answer while `busy`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.busy = False

    def __getattr__(self, name: str) -> Any:
        if self.busy:
            raise StorageUnavailable("The storage could not answer for now (503).", 15)
        return getattr(self._inner, name)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 6])
def test_while_the_tables_do_not_answer_a_job_costs_no_attempt_and_its_message_comes_again(stage, after):
    row = stage.add()
    stage.mail()
    tables = BusyTables(stage.tables)
    world = stage.a_worker(tables)

    def live(*given: Any) -> None:
        left = [after]

        def stop(_: object) -> None:
            left[0] -= 1
            tables.busy = left[0] <= 0

        stage.tenant.before.append(stop)
        tables.busy = after == 0
        capture.live(*given)

    jobs.work(world, "sync-mail", a_job(row, reason="wanted").to_json(), live)

    assert tables.busy
    ((seconds, text),) = stage.queue.waiting("sync-mail")
    assert (seconds, Job.from_json(text).subjects) == (15, (row.id,))
    tables.busy = False
    stage.tenant.before.clear()
    stage.clock.advance(130)
    stage.settle()
    assert stage.timeline() == ["Review"]


def test_a_file_is_not_given_up_because_the_storage_was_busy(stage):
    real = stage.blobs.stream
    failing = [True]

    class BusyBlobs:
        def __getattr__(self, name: str) -> Any:
            return getattr(stage_blobs, name)

        def stream(self, name: str, pieces: Any) -> int:
            if failing:
                failing.clear()
                raise StorageUnavailable("The storage could not answer for now (503).", 15)
            return real(name, pieces)

    stage_blobs = stage.blobs
    stage.blobs = BusyBlobs()
    stage.world = stage.a_worker()
    stage.crm.save_contact("Rosa Client", ["rosa@client.example"], "c" + "1" * 32)
    stage.mail(attachments=(Attachment("offer.pdf", "application/pdf", b"%PDF"),))
    stage.add()

    stage.settle()

    key = next(row.key.rpartition("|")[2] for row in stage.tables.scan("CrmTimeline"))
    (kept,) = stage.crm.mail(key).files
    assert not failing
    assert stage.blobs.get(kept.file).data == b"%PDF"
