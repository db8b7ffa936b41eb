"""The function app as Microsoft's own worker sees it: what there is, and each function at work on real storage."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dev.firm import Firm, FirmMailbox
from dev.tenant import Tenant
from dev.tenant.adapter import TenantAdapter
from sync import storage, wiring
from sync.model import Job
from tests.functions.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "an-api-key-for-the-tests"
EXPECTED = {
    "tick": ("timerTrigger", "%SYNC_TICK%"),
    "sync_mail": ("queueTrigger", "sync-mail"),
    "backfill_mail": ("queueTrigger", "backfill-mail"),
    "history_mail": ("queueTrigger", "history-mail"),
    "poll_idle": ("queueTrigger", "poll-idle"),
    "purge": ("timerTrigger", "0 23 2 * * *"),
    "poisoned_sync_mail": ("queueTrigger", "sync-mail-poison"),
    "poisoned_backfill_mail": ("queueTrigger", "backfill-mail-poison"),
    "poisoned_history_mail": ("queueTrigger", "history-mail-poison"),
    "poisoned_poll_idle": ("queueTrigger", "poll-idle-poison"),
    "http": ("httpTrigger", "{*path}"),
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(ROOT)
    yield worker
    worker.close()


@pytest.fixture
def tenant(account, monkeypatch) -> Iterator[Tenant]:
    """The environment of a deployment, with storage of its own and a tenant with one mail in it."""
    now = datetime.now(UTC)
    tenant = Tenant(now.date(), lambda: datetime.now(UTC))
    tenant.load(Firm("sample", (), (FirmMailbox("ada@firm.example", "Ada"),), ()))
    tenant.user("ada@firm.example").deliver(author="rosa@client.example", to=("ada@firm.example",), subject="Review")
    for name, value in {
        "AzureWebJobsStorage": account,
        "SYNC_TICK": "0 * * * * *",
        "ACCORD_TENANT_ID": tenant.tenant_id,
        "ACCORD_CLIENT_ID": tenant.client_id,
        "ACCORD_CLIENT_SECRET": tenant.client_secret,
        "ACCORD_API_KEY": API_KEY,
        "ACCORD_DIGEST_KEY": base64.b64encode(b"0123456789abcdef").decode(),
    }.items():
        monkeypatch.setenv(name, value)
    storage.prepare(account)
    wiring.install(lambda: TenantAdapter(tenant))
    yield tenant
    wiring.install(None)


def test_these_functions_and_no_others(worker):
    found = {}
    for name in worker.functions:
        trigger = worker.trigger(name)
        found[name] = (trigger["type"], trigger.get("schedule") or trigger.get("queueName") or trigger.get("route"))

    assert found == EXPECTED


def test_every_queue_has_a_function_and_one_for_its_poison(worker):
    watched = {where for kind, where in EXPECTED.values() if kind == "queueTrigger"}

    assert watched == {queue + end for queue in storage.QUEUES for end in ("", storage.POISON)}


def test_the_door_is_anonymous_because_its_own_keys_guard_it_and_takes_every_path(worker):
    trigger = worker.trigger("http")

    assert str(trigger["authLevel"]).lower().endswith("anonymous")
    assert {"GET", "POST", "DELETE"} <= {str(method).rpartition(".")[2].upper() for method in trigger["methods"]}


def test_no_binding_but_triggers_and_the_answer_of_http(worker):
    for name, bindings in worker.functions.items():
        kinds = sorted(binding["type"].lower() for binding in bindings)
        assert kinds == (["http", "httptrigger"] if name == "http" else [EXPECTED[name][0].lower()])


def test_each_function_does_its_work(worker, tenant):
    world = wiring.world()
    site = wiring.site()
    key = site.crm.save_contact("Rosa Client", ["rosa@client.example"])
    row = world.state.add_mailbox(tenant.tenant_id, "ada@firm.example")
    job = Job(tenant.tenant_id, "mail", (row.id,), "test").to_json()

    worker.timer("tick")
    worker.queue("sync_mail", job)
    worker.queue("backfill_mail", job)

    entries, _ = site.crm.timeline(key, 10)
    assert [entry.subject for entry in entries] == ["Review"]
    assert world.state.last_tick() is not None
    assert world.state.mailbox(row.id).backfill == "done"

    tenant.user("ada@firm.example").deliver(author="rosa@client.example", to=("ada@firm.example",), subject="Again")
    before = world.state.wants.wanted(row.id, "mail").ticket
    worker.queue("poll_idle", job)
    assert world.state.wants.wanted(row.id, "mail").ticket == before + 1

    status, body = worker.http("http", f"http://localhost/api/crm/contacts/{key}/timeline", {"X-Api-Key": API_KEY})
    assert status == 200
    assert b"Review" in body


def test_a_poison_message_becomes_a_row_of_the_log(worker, tenant):
    worker.queue("poisoned_sync_mail", '{"version": 99}')
    worker.queue("poisoned_backfill_mail", "no json")
    worker.queue("poisoned_poll_idle", "no json")

    runs = wiring.world().log.runs()[0]
    assert [run.stream for run in runs] == ["poll-idle", "backfill-mail", "sync-mail"]
    assert "version 99" in runs[2].sentence


def test_without_settings_every_function_says_all_that_is_missing(worker, tenant, monkeypatch):
    monkeypatch.delenv("ACCORD_API_KEY")
    monkeypatch.delenv("ACCORD_TENANT_ID")
    wiring.reset()

    with pytest.raises(RuntimeError) as refused:
        worker.timer("tick")

    assert "ACCORD_API_KEY is missing." in str(refused.value)
    assert "ACCORD_TENANT_ID is missing." in str(refused.value)


def test_without_the_key_nothing_of_the_crm_is_shown(worker, tenant):
    status, body = worker.http("http", "http://localhost/api/crm/contacts")

    assert status == 401
    assert json.loads(body)["status"] == 401


def test_health_is_shallow_and_open(worker, tenant):
    status, body = worker.http("http", "http://localhost/health")

    assert (status, json.loads(body)) == (200, {"status": "ok"})
