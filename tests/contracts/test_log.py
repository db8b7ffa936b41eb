"""Logs & Errors: a run is found by its id, by newest, by mailbox, by errors and by a span, on memory and on Azurite."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from dev.memory import MemoryTables
from sync.errors import BadItem
from sync.log import GROUP, ITEMS, RUNS, Log
from sync.meter import Meter
from sync.model import Run, RunItem
from sync.retries import Asked
from sync.storage import open_storage, prepare
from tests.builders import KEYS, NOON

HOUR = timedelta(hours=1)
ADA, BEN = "a" * 32, "b" * 32


@pytest.fixture
def log(storage: Any) -> Log:
    return Log(storage.tables)


def a_run(number: int, **changes: Any) -> Run:
    """The run of an hour."""
    began = NOON + number * HOUR
    run = Run(KEYS.of("run", str(number)), "tenant", ADA, "mail", "due", began, began, seen=5, kept=2)
    return replace(run, **changes)


def of_a_day() -> list[Run]:
    """Newest first: Ada's and Ben's in turn, every third with an error, every fifth failed as a whole."""
    return [
        a_run(hour, mailbox=ADA if hour % 2 else BEN, errors=int(hour % 3 == 0), sentence="" if hour % 5 else "Why.")
        for hour in range(23, -1, -1)
    ]


def test_any_combination_of_filters_finds_what_it_says_newest_first(log: Log) -> None:
    runs = of_a_day()
    log.write_many(runs)

    spans = (None, NOON + 4 * HOUR, NOON + 19 * HOUR)
    for mailbox, errors, since, until in product(("", ADA, BEN, "c" * 32), (False, True), spans, spans):
        wanted = [
            run
            for run in runs
            if (not mailbox or run.mailbox == mailbox)
            and (not errors or run.errors or run.sentence)
            and (since is None or run.started >= since)
            and (until is None or run.started < until)
        ]
        found, after = log.runs(50, mailbox=mailbox, errors=errors, since=since, until=until)
        assert (found, after) == (wanted, "")


def test_page_by_page_each_run_comes_once_and_the_last_page_says_so(log: Log) -> None:
    log.write_many(of_a_day())

    pages, after = [], ""
    while True:
        page, after = log.runs(6, after, mailbox=ADA, until=NOON + 21 * HOUR)
        pages.append(page)
        if not after:
            break

    assert [len(page) for page in pages] == [6, 4]
    assert [run.started for page in pages for run in page] == [NOON + hour * HOUR for hour in range(19, 0, -2)]


def test_a_run_is_found_by_its_id(log: Log) -> None:
    log.write_many(of_a_day())

    assert log.run(a_run(6).id) == of_a_day()[17]
    assert log.run("f" * 32) is None
    assert log.run("no/id") is None


def test_two_runs_of_one_moment_both_show(log: Log) -> None:
    log.write(a_run(1, id="1" * 32))
    log.write(a_run(1, id="2" * 32))

    first, after = log.runs(1)
    second, end = log.runs(1, after)

    assert [run.id[0] for run in (*first, *second)] == ["1", "2"]
    assert end == ""


def test_a_job_of_several_mailboxes_stands_in_the_lists_of_the_firm(log: Log) -> None:
    run = a_run(1, mailbox=f"{ADA},{BEN}", errors=1)
    log.write(run)

    assert log.runs()[0] == log.runs(errors=True)[0] == [run]
    assert log.runs(mailbox=ADA)[0] == log.runs(mailbox=run.mailbox)[0] == []


@pytest.mark.parametrize("after", ["x", "1|2", f"{0:016d}|a/b", f"{0:016d}"])
def test_a_place_that_is_none_is_refused(log: Log, after: str) -> None:
    with pytest.raises(BadItem):
        log.runs(after=after)
    with pytest.raises(BadItem):
        log.items("f" * 32, after=after)


def test_items_come_by_their_number_page_by_page_or_errors_alone(log: Log) -> None:
    items = [RunItem(f"item {at}", "error" if at % 7 == 3 else "kept", "Why.") for at in range(GROUP + 20)]
    log.write(a_run(1, errors=17), items)

    numbered = [replace(item, number=at) for at, item in enumerate(items)]
    first, after = log.items(a_run(1).id, 100)
    rest, end = log.items(a_run(1).id, 100, after)
    assert (first + rest, end) == (numbered, "")
    errors = [item for item in numbered if item.outcome == "error"]
    assert log.items(a_run(1).id, errors=True) == (errors, "")
    assert log.items(a_run(1).id, 2, "3", errors=True) == (errors[1:3], "17")
    assert log.items("no/id") == ([], "")


def test_one_error_is_found_by_its_number_and_nothing_else_is(log: Log) -> None:
    log.write(
        a_run(1), [RunItem("bad", "error", "Why."), RunItem("good", "kept", "in"), RunItem("worse", "error", "So.")]
    )

    found = [log.item(a_run(1).id, number) for number in (-1, 0, 1, 2, 3)]

    assert [item and item.name for item in found] == [None, "bad", None, "worse", None]


def test_a_run_that_shows_has_its_items() -> None:
    seen: list[tuple[int, int]] = []

    class Watched(MemoryTables):
        def write(self, *given: Any) -> dict[str, str]:
            done = super().write(*given)
            log = Log(self)
            seen.append((len(log.runs()[0]), len(log.items(a_run(1).id)[0])))
            return done

    Log(Watched()).write(a_run(1), [RunItem(str(at), "kept", "in") for at in range(150)])

    assert seen == [(0, 100), (0, 150), (1, 150)]


def test_what_became_of_a_retry_stands_beside_the_item_and_outlives_that_its_run_is_written_again(log: Log) -> None:
    items = [RunItem("a", "kept", "in"), RunItem("b", "error", "Why."), RunItem("c", "error", "Why.")]
    log.write(a_run(1, errors=2), items)

    log.mark(a_run(1).id, [1, 0, 9], NOON, "mended", "Now it is there.", "m1")
    log.write(a_run(1, errors=2), items)

    first, second = log.items(a_run(1).id, errors=True)[0]
    assert (first.outcome, first.retried, first.retry, first.retry_reason, first.record) == (
        "error",
        NOON,
        "mended",
        "Now it is there.",
        "m1",
    )
    assert (second.retried, second.retry) == (None, "")
    assert len(log.items(a_run(1).id)[0]) == 3


def test_a_run_that_is_done_again_says_so_in_every_list(log: Log) -> None:
    run = a_run(1, sentence="Why.")
    log.write(run)

    log.retried(run, NOON + HOUR)
    log.retried(a_run(2), NOON)

    again = replace(run, retried=NOON + HOUR)
    assert log.run(run.id) == again
    assert [log.runs(errors=errors, mailbox=box)[0] for errors in (True, False) for box in ("", ADA)] == [[again]] * 4


def test_old_runs_go_with_all_their_rows_some_at_a_time_and_younger_ones_stay(storage: Any, log: Log) -> None:
    for run in of_a_day():
        log.write(run, [RunItem("a", "kept", "in"), RunItem("b", "error", "Why.")])

    gone = [log.forget(NOON + 22 * HOUR, 10) for _ in range(4)]

    assert gone == [10, 10, 2, 0]
    assert [run.started for run in log.runs()[0]] == [NOON + 23 * HOUR, NOON + 22 * HOUR]
    young = {a_run(hour).id for hour in (22, 23)}
    assert {row.partition for row in storage.tables.scan(ITEMS)} == young
    assert {row.key.rpartition("|")[2] for row in storage.tables.scan(RUNS)} == young


def test_a_page_costs_one_request_and_a_run_one_group(account: str, meter: Meter) -> None:
    prepare(account)
    opened = open_storage(account, meter)
    log = Log(opened.tables)
    log.write_many(of_a_day())
    before = meter.counts()["tables"]

    log.write(a_run(30, errors=1))
    written = meter.counts()["tables"]
    log.runs(5, mailbox=ADA, errors=True, since=NOON)
    _, after = log.runs(10)
    log.runs(10, after)
    read = meter.counts()["tables"]

    opened.close()
    assert (written - before, read - written) == (1, 3)


def test_what_is_to_be_done_again_waits_in_order_of_its_messages_until_it_is_dropped(storage: Any) -> None:
    retries = Log(storage.tables).retries
    many = [Asked(digest, f"name {digest}", run, 7) for run in ("r1", "r2") for digest in ("d2", "d1")]

    retries.add(ADA, many, NOON)
    retries.add(ADA, many[:1], NOON)
    retries.add(BEN, many[:1], NOON + HOUR)

    assert [(one.digest, one.run) for one in retries.waiting(ADA, 3)] == [("d1", "r1"), ("d1", "r2"), ("d2", "r1")]
    retries.drop(ADA, many[1:])
    assert retries.waiting(ADA, 9) == many[:1]
    assert retries.forget(NOON + HOUR) == 1
    assert (retries.waiting(ADA, 9), retries.waiting(BEN, 9)) == ([], many[:1])
