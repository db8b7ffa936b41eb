"""The doors of the simulated tenant, and the tenant as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from dev.detour import DetourAdapter
from dev.tenant import Tenant, serve
from dev.tenant.adapter import session as session_of
from tests.contracts.tenant_world import ADA, DAY, World, fill, inbox, open_world


@pytest.fixture
def world() -> Iterator[World]:
    with open_world("server") as made:
        yield made


@contextmanager
def served(latency_ms: float = 0) -> Iterator[tuple[Tenant, str, requests.Session]]:
    tenant = Tenant(DAY, lambda: datetime.now(UTC))
    tenant.add_user(ADA, "Ada Lovell")
    server = serve(tenant, latency_ms=latency_ms)
    with requests.Session() as plain:
        plain.trust_env = False
        yield tenant, f"http://127.0.0.1:{server.port}", plain
    server.stop()


def test_links_name_the_host_that_the_client_used(world: World) -> None:
    fill(world, 12)

    page = world.get(inbox())

    assert page["@odata.nextLink"].startswith("https://graph.microsoft.com/v1.0/users/")
    assert len(world.get(page["@odata.nextLink"])["value"]) == 2


def test_a_client_that_asks_the_port_itself_gets_links_to_the_port() -> None:
    with served() as (tenant, origin, plain):
        form = {
            "grant_type": "client_credentials",
            "client_id": tenant.client_id,
            "client_secret": tenant.client_secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        token = plain.post(f"{origin}/{tenant.tenant_id}/oauth2/v2.0/token", data=form, timeout=5).json()[
            "access_token"
        ]
        headers = {"Authorization": f"Bearer {token}"}

        page = plain.get(
            f"{origin}/v1.0/users/{ADA}/mailFolders/inbox/messages/delta", headers=headers, timeout=5
        ).json()

        assert page["@odata.deltaLink"].startswith(f"{origin}/v1.0/users(")


def test_the_answer_seems_to_come_from_microsoft(world: World) -> None:
    answer = world.ask("GET", f"/users/{ADA}")

    assert answer.url == f"https://graph.microsoft.com/v1.0/users/{ADA}"
    assert answer.request.url == answer.url


def test_the_detour_leads_nobody_else_to_the_tenant() -> None:
    with requests.Session() as plain:
        plain.trust_env = False
        plain.mount("https://", DetourAdapter(1))

        with pytest.raises(requests.exceptions.InvalidURL, match=r"not https://other\.example"):
            plain.get("https://other.example/", timeout=1)


def test_the_session_in_process_reaches_microsoft_only() -> None:
    tenant = Tenant(DAY, lambda: datetime.now(UTC))

    with session_of(tenant) as made:
        assert made.get("https://graph.microsoft.com/v1.0/users", timeout=1).status_code == 401
        with pytest.raises(requests.exceptions.InvalidSchema):
            made.get("https://other.example/", timeout=1)


def test_mail_is_delivered_and_counts_are_read_by_control_paths() -> None:
    with served() as (tenant, origin, plain):
        body = {
            "mailbox": ADA,
            "subject": "Hello",
            "author": "cy@client.example",
            "received": "2026-11-20T08:00:00+00:00",
        }

        made = plain.post(f"{origin}/_tenant/deliver", json=body, timeout=5)
        counts = plain.get(f"{origin}/_tenant/counts", timeout=5).json()

        assert made.status_code == 201
        assert tenant.user(ADA).message(made.json()["id"]).mail.subject == "Hello"
        assert (counts["units"], counts["high_water"]) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [b"oops", b"[]", b"{}", b'{"mailbox": "nobody@cedar.example"}', b'{"mailbox": "ada@cedar.example", "colour": 1}'],
)
def test_a_delivery_that_cannot_be_read_says_what_is_wrong(body: bytes) -> None:
    with served() as (_, origin, plain):
        answer = plain.post(f"{origin}/_tenant/deliver", data=body, timeout=5)

        assert answer.status_code == 400
        assert "deliver takes JSON with mailbox" in answer.json()["error"]


def test_control_paths_are_closed_to_the_names_of_microsoft(world: World) -> None:
    answer = world.ask("GET", "https://graph.microsoft.com/_tenant/counts")

    assert answer.status_code == 501


def test_the_server_ends_by_its_control_path(world: World) -> None:
    server = serve(world.tenant)
    origin = f"http://127.0.0.1:{server.port}"

    with requests.Session() as plain:
        plain.trust_env = False
        answer = plain.post(f"{origin}/_tenant/stop", timeout=5)
        assert answer.status_code == 202 and server.stopped.wait(5)

        with pytest.raises(requests.ConnectionError):
            plain.get(f"{origin}/_tenant/counts", timeout=5)


def test_requests_under_way_at_once_are_counted_by_mailbox() -> None:
    with served(latency_ms=150) as (tenant, origin, _):

        def ask(user: str) -> None:
            requests.get(f"{origin}/v1.0/users/{user}/messages", timeout=5)

        threads = [threading.Thread(target=ask, args=(user,)) for user in (ADA, ADA, ADA, "bob@cedar.example")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert tenant.high_water == {ADA: 3, "bob@cedar.example": 1}


# -- the process


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    command = [sys.executable, "-m", "dev.tenant", "--day", "2026-11-20", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        try:
            yield running, json.loads(line)
        finally:
            running.kill()


def test_a_tenant_of_its_own_says_where_it_is_and_ends_with_its_input() -> None:
    with process("--synthetic", "20", "--body-kb", "1", "--end-with-stdin") as (running, ready):
        assert set(ready) == {"port", "tenant_id", "client_id", "client_secret"}
        assert ready["tenant_id"] == Tenant(DAY, lambda: datetime.now(UTC)).tenant_id

        assert running.stdin is not None
        running.stdin.close()

        assert running.wait(10) == 0


def test_a_tenant_of_its_own_ends_on_a_signal() -> None:
    with process() as (running, _):
        running.send_signal(signal.SIGTERM)

        assert running.wait(10) == 0


def test_an_owner_without_mail_is_an_error() -> None:
    command = [sys.executable, "-m", "dev.tenant", "--day", "2026-11-20", "--owner", ADA]

    done = subprocess.run(command, capture_output=True, timeout=20, check=False)

    assert done.returncode == 2
    assert b"--owner says whose mail --mail is" in done.stderr


def test_a_tenant_of_its_own_may_refuse_more_than_four_at_once() -> None:
    arguments = ("--synthetic", "1", "--body-kb", "1", "--concurrency", "app", "--latency-ms", "1000")
    with process(*arguments) as (_, ready):
        origin = f"http://127.0.0.1:{ready['port']}"
        form = {
            "grant_type": "client_credentials",
            "client_id": ready["client_id"],
            "client_secret": ready["client_secret"],
            "scope": "https://graph.microsoft.com/.default",
        }
        url = f"{origin}/{ready['tenant_id']}/oauth2/v2.0/token"
        token = requests.post(url, data=form, timeout=5).json()["access_token"]
        seen: list[int] = []

        def ask() -> None:
            own = f"{origin}/v1.0/users/robin@cedar.example/messages"
            seen.append(requests.get(own, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(seen) == [200] * 4 + [429] * 2
