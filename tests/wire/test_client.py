"""What is sent to Microsoft Graph and what is not, against the simulated tenant."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from dev.firm import Attachment
from dev.memory import ManualClock
from dev.tenant import Tenant
from dev.tenant.adapter import TenantAdapter
from dev.tenant.exchange import Request
from dev.tenant.faults import Fault
from sync.errors import ForeignLink, MailboxMissing, SlotTimeout, Throttled
from sync.graph import wire
from sync.graph.client import Graph, GraphMailbox
from sync.graph.gates import Gates
from sync.graph.session import ThreadSessions
from sync.graph.signin import SignIn
from sync.meter import Meter
from tests.builders import NOON

ADA, BEN = "ada@firm.example", "ben@firm.example"
PDF = Attachment("offer.pdf", "application/pdf", b"%PDF-1.4 an offer")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def tenant(clock) -> Tenant:
    tenant = Tenant(date(2026, 11, 20), clock)
    for one in (ADA, BEN):
        tenant.add_user(one)
    return tenant


@pytest.fixture
def graph(tenant, clock) -> Iterator[Graph]:
    sessions = ThreadSessions(lambda: TenantAdapter(tenant))
    signin = SignIn(tenant.tenant_id, tenant.client_id, tenant.client_secret, sessions)
    yield Graph(sessions, signin, Meter(), Gates(clock, patience=0))
    sessions.close()


def calls(tenant: Tenant) -> int:
    """Requests that reached Graph or the sign-in service."""
    return sum(tenant.counts().get(name, 0) for name in ("calls", "login_calls"))


def refused(tenant: Tenant, work) -> Throttled:
    """What a piece of work raises; that it asked nothing of Microsoft is part of it."""
    before = calls(tenant)
    with pytest.raises(Throttled) as told:
        work()
    assert calls(tenant) == before
    return told.value


def throttled(work) -> Throttled:
    with pytest.raises(Throttled) as told:
        work()
    return told.value


def test_a_refused_call_to_a_mailbox_keeps_that_mailbox_quiet_and_no_other(tenant, graph, clock):
    ada, ben = GraphMailbox(graph, ADA), GraphMailbox(graph, BEN)
    tenant.faults.add(Fault(match="mailFolders/delta", kind="throttle", after=40))

    assert throttled(ada.folders).scope == "mailbox"

    clock.advance(39)
    assert refused(tenant, ada.folders).after == 1
    assert refused(tenant, lambda: list(ada.bodies(["x"]))).scope == "mailbox"
    assert ben.folders().folders
    clock.advance(1)
    assert ada.folders().folders


def test_a_mailbox_is_one_at_the_gates_whether_it_is_asked_by_address_or_id(tenant, graph):
    tenant.faults.add(Fault(match="mailFolders/delta", kind="throttle", after=40))
    throttled(GraphMailbox(graph, ADA, "a mailbox").folders)

    assert refused(tenant, GraphMailbox(graph, tenant.find(ADA).id, "a mailbox").folders).after == 40


@pytest.mark.parametrize(("kind", "after"), [("throttle", None), ("unavailable", 30), ("gateway_timeout", 30)])
def test_a_refused_directory_read_concerns_the_whole_connection(tenant, graph, kind, after):
    tenant.faults.add(Fault(match=r"/users/[^/]+\?", kind=kind, after=after))

    assert throttled(GraphMailbox(graph, ADA).identity).scope == "connection"

    assert refused(tenant, GraphMailbox(graph, BEN).folders).after == 30


def test_a_batch_refused_as_a_whole_concerns_the_app(tenant, graph):
    tenant.faults.add(Fault(match="batch", kind="throttle", after=25))

    assert throttled(lambda: list(GraphMailbox(graph, ADA).bodies(["x"]))).scope == "app"

    assert refused(tenant, GraphMailbox(graph, BEN).folders).after == 25


def test_a_refused_part_of_a_batch_concerns_its_mailbox_for_the_longest_time_named(tenant, graph, clock):
    ada = GraphMailbox(graph, ADA)
    ids = [tenant.user(ADA).deliver(author="r@c.example", to=(ADA,)) for _ in range(3)]
    for position, after in ((1, 50), (3, 20)):
        tenant.faults.add(Fault(match="part:GET", kind="throttle", position=position, after=after))

    parts = dict(ada.bodies(ids))

    assert [type(one).__name__ for one in parts.values()].count("Throttled") == 2
    assert [one.scope for one in parts.values() if isinstance(one, Throttled)] == ["mailbox"] * 2
    clock.advance(49)
    assert refused(tenant, ada.folders).after == 1
    assert GraphMailbox(graph, BEN).folders().folders


def test_a_batch_over_many_mailboxes_goes_under_nobodys_name(tenant, graph):
    tenant.faults.add(Fault(match="part:GET", kind="throttle", after=20))
    parts = wire.well_known(ADA, ["inbox", "drafts"])

    answer = graph.send(parts[0])

    assert sorted(one["status"] for one in answer.json["responses"]) == [200, 429]
    assert GraphMailbox(graph, ADA).folders().folders


@pytest.mark.parametrize(
    "match", ["openid-configuration", "oauth2/v2.0/token"], ids=["addresses of the service", "token"]
)
@pytest.mark.parametrize("kind", ["throttle", "unavailable"])
def test_a_sign_in_service_that_says_wait_is_left_alone_as_long(tenant, graph, clock, match, kind):
    tenant.faults.add(Fault(match=match, kind=kind, after=33))

    told = throttled(GraphMailbox(graph, ADA).folders)

    assert (told.scope, told.after) == ("connection", 33)
    clock.advance(32)
    assert refused(tenant, GraphMailbox(graph, BEN).folders).after == 1
    clock.advance(1)
    assert GraphMailbox(graph, BEN).folders().folders


def test_a_refusal_that_comes_while_a_request_signs_in_still_holds_it_back(tenant, clock):
    sessions, gates = ThreadSessions(lambda: TenantAdapter(tenant)), Gates(clock, patience=0)
    signin = SignIn(tenant.tenant_id, tenant.client_id, tenant.client_secret, sessions)

    def meanwhile(request: Request) -> None:
        if request.url.endswith("/token"):
            with gates.turn(BEN, batch=False) as other:
                other.heard([Throttled("Wait.", 60, scope="app")])

    tenant.before.append(meanwhile)
    with pytest.raises(Throttled):
        GraphMailbox(Graph(sessions, signin, Meter(), gates), ADA).folders()
    sessions.close()

    assert (tenant.counts()["token_calls"], tenant.counts().get("calls", 0)) == (1, 0)


def test_of_many_that_are_refused_with_one_revoked_token_one_signs_in_again(tenant, graph):
    """Four requests are under way with the token when it ends; who notices later keeps the first one's new one."""
    GraphMailbox(graph, ADA).folders()
    tenant.revoke_tokens()
    together, seen = threading.Barrier(4), threading.local()

    def hold(_: object) -> None:
        if not hasattr(seen, "held"):
            seen.held = True
            together.wait(30)

    tenant.before.append(hold)
    boxes = [GraphMailbox(graph, one) for one in (ADA, BEN, ADA, BEN)]
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(lambda box: box.folders(), boxes))
    tenant.before.clear()

    assert all(tree.folders for tree in trees)
    assert tenant.counts()["token_calls"] == 2


def test_a_redirect_ends_at_the_answer_and_the_token_goes_nowhere(tenant, graph):
    tenant.faults.add(Fault(match="mailFolders/delta", kind="redirect", link="https://graph.microsoft.com/v1.0/other"))
    GraphMailbox(graph, BEN).well_known(["inbox"])
    before = calls(tenant)

    with pytest.raises(ForeignLink):
        GraphMailbox(graph, ADA).folders()

    assert calls(tenant) == before + 1


def test_an_attachment_takes_a_slot_until_its_last_piece_or_until_nobody_wants_more(tenant, graph):
    ada = GraphMailbox(graph, ADA)
    message = tenant.user(ADA).deliver(author="r@c.example", to=(ADA,), attachments=(PDF,))
    (_, (listed,)) = next(iter(ada.attachments([message])))
    streams = [ada.attachment(message, listed.id) for _ in range(3)]
    for one in streams:
        next(one)

    with pytest.raises(SlotTimeout):
        ada.folders()

    assert list(streams[0]) == []
    assert ada.folders().folders
    with pytest.raises(SlotTimeout):
        next(ada.bodies([message]))
    for one in streams[1:]:
        one.close()
    assert next(ada.bodies([message]))


def test_an_attachment_that_is_refused_keeps_its_mailbox_quiet(tenant, graph):
    ada = GraphMailbox(graph, ADA)
    message = tenant.user(ADA).deliver(author="r@c.example", to=(ADA,), attachments=(PDF,))
    (_, (listed,)) = next(iter(ada.attachments([message])))
    tenant.faults.add(Fault(match="value", kind="throttle", after=15))

    assert throttled(lambda: list(ada.attachment(message, listed.id))).scope == "mailbox"

    assert refused(tenant, ada.folders).after == 15


def test_an_address_without_a_mailbox_is_no_reason_to_wait(tenant, graph):
    with pytest.raises(MailboxMissing):
        GraphMailbox(graph, "nobody@firm.example").folders()

    assert GraphMailbox(graph, ADA).folders().folders
