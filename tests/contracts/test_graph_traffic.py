"""What the product asks of Graph, and what the tenant answers, against Microsoft's closed schema."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dev.tenant.faults import Fault, Switches
from sync.explain import explain
from sync.graph.client import Graph
from sync.graph.gates import Gates
from sync.meter import Meter
from tests.builders import NOON
from tests.oracle import ABSENT, check, oracle
from tests.stage import ADA, BEN, Stage

pytestmark = pytest.mark.skipif(oracle() is None, reason=ABSENT)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    "switches",
    [
        Switches(),
        Switches(page_size_cap=2, replay_pages=True, empty_pages_with_nextlink=True),
        Switches(shuffle_batch=True),
    ],
)
def test_a_whole_life_of_two_mailboxes_passes_microsofts_schema(switches):
    stage = Stage(switches)
    stage.tenant.recording = True
    ada = stage.tenant.user(ADA)
    for number in range(25):
        stage.mail(subject=f"old {number}", received=NOON - (number + 1) * DAY)
    stage.add(ADA)
    stage.add(BEN)
    stage.settle()
    folder = ada.add_folder("Clients", "inbox")
    new = stage.mail(subject="new", folder="inbox/Clients")
    stage.settle()
    ada.move(new, "archive")
    ada.remove_folder(folder)
    stage.tenant.faults.add(Fault(match="deltatoken", kind="gone"))
    stage.settle()
    why = explain(stage.world, next(iter(stage.world.state.mailboxes())), "<nobody@nowhere.example>")
    explain(stage.world, next(iter(stage.world.state.mailboxes())), new)
    stage.crm.save_contact("Otto", ["otto@other.example"])
    stage.settle(ticks=4)
    stage.clock.advance(86400)
    stage.settle()
    stage.world.state.add_mailbox(stage.tenant.tenant_id, "nobody@firm.example")
    stage.settle(ticks=1)

    # The token of yesterday is refused once: what stands in such an answer is no batch.
    graph = [one for one in stage.tenant.exchanges if "graph.microsoft.com" in one["url"]]
    exchanges = [one for one in graph if one["status"] != 401]
    found = check(exchanges)
    stage.close()

    assert len(exchanges) > 50
    assert why.reason == "missing"
    for asked in ("$search", "lastModifiedDateTime", "internetMessageId%20eq"):
        assert any(asked in one["url"] for one in exchanges), asked
    assert any("lastModifiedDateTime%20ge" in str(one) for one in exchanges)
    assert found == []


def test_the_question_of_the_health_passes_microsofts_schema():
    stage = Stage()
    stage.tenant.recording = True

    Graph(stage.sessions, stage.signin, Meter(), Gates(stage.clock)).reach()

    graph = [one for one in stage.tenant.exchanges if "graph.microsoft.com" in one["url"]]
    found = check(graph)
    stage.close()
    assert len(graph) == 1
    assert not found
