"""Mail met in the wild is captured, and capturing it again changes nothing (I5, I6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dev.firm import Firm
from dev.mailfiles import firm_of
from sync.policy import MailPolicy, MatchingPolicy, Policy
from sync.ports import Write
from sync.state import STATE
from sync.wants import TABLE as WANTED
from tests.realmail import REAL_MAIL, needs_real_mail
from tests.stage import CountingTables, Stage

pytestmark = needs_real_mail


@pytest.fixture(scope="module")
def firm() -> Firm:
    """The mailbox that the files make, and everybody in it as a contact."""
    return firm_of(REAL_MAIL)


@pytest.fixture
def stage(firm: Firm) -> Iterator[Stage]:
    """A first sync of all of it that has come to its end."""
    owner = firm.mailboxes[0].address
    mail = MailPolicy(backfill_months=None, skipped_folders=())
    stage = Stage(policy=Policy(mail=mail, matching=MatchingPolicy(internal_domains=())), mailboxes=())
    stage.tenant.load(firm)
    lines = [f'"{one.name.replace(chr(34), "")}",{address}' for one in firm.contacts for address in one.addresses]
    stage.crm.import_contacts("Name,Email\n" + "\n".join(lines))
    stage.add(owner)
    stage.settle()
    yield stage
    stage.close()


def stored(stage: Stage) -> Mapping[tuple[str, str, str], Any]:
    """Everything in the CRM: contacts, addresses, records with their relations and copies, timelines, the feed."""
    return {
        (table, row.partition, row.key): row.values
        for table in ("CrmRecords", "CrmTimeline", "CrmAddresses")
        for row in stage.tables.scan(table)
    }


def forget(stage: Stage) -> None:
    """Lose all leases, cursors, places and what is wanted, as a fresh installation over a full CRM has lost them."""
    for table in (STATE, WANTED):
        for row in list(stage.tables.scan(table)):
            stage.tables.write(table, row.partition, [Write("delete", row.key)])


def test_nearly_all_of_it_stands_in_the_crm(stage: Stage, firm: Firm) -> None:
    kept = {key for _, part, key in stored(stage) if key.startswith("r|m") and key.count("|") == 1}
    runs = stage.world.log.runs()[0]

    assert sum(run.errors for run in runs) == 0
    assert sum(run.seen for run in runs) >= len(firm.mailboxes[0].mail)
    assert len(kept) > 0.8 * len({mail.message_id or mail.name for mail in firm.mailboxes[0].mail})


def test_a_second_round_writes_nothing_but_leases_and_the_tick(stage: Stage) -> None:
    before, runs, counting = stored(stage), stage.world.log.runs()[0], CountingTables(stage.tables)

    stage.settle(stage.a_worker(tables=counting))

    assert set(counting.written) == {STATE}
    assert stored(stage) == before
    assert stage.world.log.runs()[0] == runs


def test_a_second_first_sync_adds_no_record_and_no_row_of_timeline_or_feed(stage: Stage, firm: Firm) -> None:
    before, read = stored(stage), stage.tenant.counts()["body_reads"]
    forget(stage)
    stage.settle(stage.a_worker())
    stage.clock.advance(6 * 3600)  # an idle mailbox gets a round of all its folders by then

    stage.settle(stage.a_worker())

    assert stage.tenant.counts()["body_reads"] > read  # it was a sync, and not nothing
    assert stored(stage) == before
