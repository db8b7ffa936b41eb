"""Mailboxes so large, or a Graph so slow, that one job is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.model import MailboxRow
from sync.progress import progress
from sync.world import World
from tests.builders import NOON
from tests.stage import ADA, Stage

DAY = timedelta(days=1)


class SlowMailbox:
    """A mailbox where every question takes its time."""

    def __init__(self, inner: Any, stage: Stage, seconds: float) -> None:
        self._inner, self._stage, self._seconds = inner, stage, seconds

    def __getattr__(self, name: str) -> Any:
        self._stage.clock.advance(self._seconds)
        return getattr(self._inner, name)


def slow(stage: Stage, seconds: float) -> World:
    """The product, with a Graph that takes so long for every answer."""

    def connect(row: MailboxRow) -> Any:
        return SlowMailbox(stage.world.connect(row), stage, seconds)

    return replace(stage.world, connect=connect)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(mailboxes=(ADA,))
    yield stage
    stage.close()


def test_a_job_that_takes_too_long_saves_its_place_and_goes_on_as_another(stage):
    for number in range(40):
        stage.tenant.user(ADA).add_folder(f"Client {number}", "inbox")
    stage.mail(folder="inbox/Client 39", subject="old", received=NOON - DAY)
    stage.add()
    world = slow(stage, 20)

    stage.settle(world, ticks=2)
    stage.mail(folder="inbox/Client 39", subject="new")
    stage.settle(world, ticks=4)

    assert stage.timeline() == ["new", "old"]
    assert next(stage.world.state.mailboxes()).backfill == "done"


def test_a_lease_lasts_as_long_as_its_job_goes_on(stage):
    for number in range(8):
        stage.tenant.user(ADA).add_folder(f"Client {number}", "inbox")
    row = stage.add()
    stage.settle()
    taken = []

    def connect(mailbox: MailboxRow) -> Any:
        class Watched(SlowMailbox):
            def __getattr__(self, name: str) -> Any:
                taken.append(stage.world.state.open(row.id, "mail"))
                return super().__getattr__(name)

        return Watched(stage.world.connect(mailbox), stage, 15)

    stage.mail()
    stage.settle(replace(stage.world, connect=connect), ticks=1)

    assert len(taken) > 8
    assert all(one is None for one in taken)


def test_progress_counts_by_time_and_says_when_it_is_done(stage):
    for number in range(30):
        stage.mail(subject=f"{number}", received=NOON - (number + 1) * DAY)
    row = stage.add()
    assert progress(stage.world, row)["percent"] is None

    stage.settle()

    done = progress(stage.world, row)
    assert (done["percent"], done["seen"], done["kept"], done["bodies"], done["errors"]) == (100, 30, 30, 30, 0)


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_progress_half_way(stage, order):
    old = {
        "done": False,
        "opened": "2026-11-20T00:00:00+00:00",
        "oldest": "2026-11-10T00:00:00+00:00",
        "order": order,
        "until": "2026-11-15T00:00:00+00:00",
        "since": "2026-11-15T00:00:00+00:00",
    }
    row = stage.add()
    opened = stage.world.state.open(row.id, "mail-backfill")
    stage.world.state.save(opened.lease, old)

    assert progress(stage.world, row)["percent"] == 50
