"""The TLS door itself: as a proxy, by itself, and to whom it is not trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.contracts.tenant_world import ADA
from tests.foreign.foreign_world import Foreign, open_foreign

MESSAGES = f"https://graph.microsoft.com/v1.0/users/{ADA}/messages"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Foreign]:
    with open_foreign(tmp_path) as made:
        yield made


@pytest.fixture
def plain() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def token(world: Foreign, session: requests.Session) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": world.tenant.client_id,
        "client_secret": world.tenant.client_secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    url = f"https://login.microsoftonline.com/{world.tenant.tenant_id}/oauth2/v2.0/token"
    return {"Authorization": "Bearer " + session.post(url, data=form, timeout=5).json()["access_token"]}


def test_a_client_with_a_proxy_is_led_to_the_tenant_by_any_name(world: Foreign, plain: requests.Session) -> None:
    plain.proxies = {"https": f"http://127.0.0.1:{world.server.port}"}
    plain.verify = str(world.authority)
    headers = token(world, plain)

    page = plain.get(MESSAGES, headers=headers, timeout=5).json()
    second = plain.get(page["@odata.nextLink"], headers=headers, timeout=5).json()

    assert page["@odata.nextLink"].startswith("https://graph.microsoft.com/v1.0/users/")
    assert (len(page["value"]), len(second["value"])) == (10, 10)


def test_a_client_that_asks_the_door_itself_gets_links_to_the_door(world: Foreign, plain: requests.Session) -> None:
    plain.verify = str(world.authority)
    origin = f"https://127.0.0.1:{world.server.port}"

    answer = plain.get(f"{origin}/v1.0/users/{ADA}", timeout=5)
    counts = plain.get(f"{origin}/_tenant/counts", timeout=5)

    assert (answer.status_code, counts.status_code) == (401, 200)


def test_a_client_that_does_not_trust_the_authority_sends_nothing(world: Foreign, plain: requests.Session) -> None:
    plain.proxies = {"https": f"http://127.0.0.1:{world.server.port}"}

    with pytest.raises(requests.exceptions.SSLError):
        plain.get(MESSAGES, timeout=5)

    assert world.tenant.counts()["calls"] == 0
