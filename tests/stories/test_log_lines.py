"""What the log says of a run, and what it never says (S28, S29)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sync.model import Run
from sync.work import line
from tests.builders import NOON
from tests.stage import ADA, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(mailboxes=(ADA,))
    yield stage
    stage.close()


def test_a_run_is_one_line_whatever_its_values_hold() -> None:
    run = Run("1" * 32, "tenant", "a" * 32, "mail", "due", NOON, NOON + timedelta(seconds=2.25), 5, 2, 1, 2, {"x": 3})
    odd = replace(run, reason='a\r\nrun {"id": "forged"}\x1b[31m\u2028')

    assert json.loads(line(run)) == {
        "id": "1" * 32,
        "mailbox": "a" * 32,
        "stream": "mail",
        "reason": "due",
        "seen": 5,
        "kept": 2,
        "errors": 1,
        "bodies": 2,
        "skipped": 3,
        "seconds": 2.2,
        "failed": True,
    }
    assert line(odd).isprintable()
    assert json.loads(line(odd))["reason"] == odd.reason


def test_each_run_leaves_one_line_that_a_query_can_read(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "accord")
    stage.mail()
    stage.add()
    stage.settle()

    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("run ")]
    runs = {run.id: run for run in stage.world.log.runs()[0]}
    read = [json.loads(one[4:]) for one in said]
    assert {one["id"] for one in read} == set(runs)
    assert sum(one["kept"] for one in read) == sum(run.kept for run in runs.values()) == 1
