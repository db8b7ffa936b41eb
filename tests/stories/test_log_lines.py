"""What the log says of a run, and what it never says (S28, S29)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dev.firm import Attachment
from dev.tenant.faults import Fault
from sync import export, retry
from sync.model import MailRecord, Run
from sync.work import line
from tests.builders import NOON
from tests.machines.world import HostedStage
from tests.stage import ADA, BEN, Stage


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


CANARY = "canary7"


class Clumsy:
    """A CRM with a bug whose text says what a mail says."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def keep(self, records: Sequence[MailRecord]) -> None:
        """Fails, and tells all."""
        try:
            raise KeyError(records[0].relations[0].address)
        except KeyError:
            raise ValueError(f"{records[0].envelope.subject} {records[0].html}") from None


def planted(stage: HostedStage, number: int) -> None:
    """A mail that is full of what nobody may read in a log."""
    stage.mail(
        author=f"{CANARY}@client.example",
        subject=f"=HYPERLINK({CANARY})\r\nforged {number}",
        body=f"<p>{CANARY} body</p>",
        attachments=(Attachment(f"{CANARY}.pdf", "application/pdf", CANARY.encode()),),
    )


def secrets_of(stage: HostedStage) -> list[str]:
    """What may stand nowhere."""
    return [CANARY, stage.tenant.client_secret, stage.signin.token(), ADA, BEN]


def test_no_word_of_a_mail_is_logged_through_refusals_bugs_poison_and_retries(caplog: pytest.LogCaptureFixture) -> None:
    """S28, S29: in lines of the log, in what rises to the host, in Logs & Errors and its export, and in messages."""
    caplog.set_level(logging.DEBUG)
    stage = HostedStage()
    stage.crm.save_contact("Canary", [f"{CANARY}@client.example"])
    stage.add()
    stage.cycle()
    # Refused: a body, and then a file.
    stage.tenant.faults.add(Fault(match=r"part:GET .*messages/[^/]*\?", kind="forbidden"))
    planted(stage, 1)
    planted(stage, 2)
    stage.cycle()
    stage.tenant.faults.add(Fault(match="attachments/.*value", kind="forbidden"))
    planted(stage, 3)
    stage.cycle()
    # A bug, until the message is given up.
    whole = stage.world
    stage.world = replace(whole, crm=Clumsy(whole.crm))
    planted(stage, 4)
    stage.cycle()
    stage.world = whole
    answer = retry.errors(stage.world)
    stage.cycle()

    runs = stage.world.log.runs(1000)[0]
    items = [(run, item) for run in runs for item in stage.world.log.items(run.id)[0]]
    assert len(stage.timeline("Canary")) == 4
    assert (len(stage.parked), answer.queued) == (1, 3)
    assert [item.retry for _, item in items if item.outcome == "error"] == ["mended", "mended"]
    assert "ValueError" in str(stage.bugs)
    tables = ("AccordRuns", "AccordRunItems", "AccordRetries", "AccordWanted", "AccordMailboxes")
    rows = [
        replace(row, values={**row.values, "address": "", "own": ""})
        for one in tables
        for row in stage.tables.scan(one)
    ]
    said = {
        "log": caplog.text,
        "host": str(stage.bugs),
        "rows": str(rows),
        "messages": str(stage.parked),
        "export": "".join([*export.runs(runs), *export.items(items)]),
    }
    assert [(where, secret) for where, text in said.items() for secret in secrets_of(stage) if secret in text] == []
    assert all("\n" not in record.getMessage() for record in caplog.records if record.name == "accord")
    stage.close()
