"""Sign-in at the simulated tenant, as msal and hand-made requests see it."""

from __future__ import annotations

from collections.abc import Iterator

import msal
import pytest

from tests.contracts.tenant_world import ADA, World, open_world
from tests.oracle import ABSENT, oracle

USER = f"/users/{ADA}"


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def app_of(world: World, secret: str = "") -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        world.tenant.client_id,
        client_credential=secret or world.tenant.client_secret,
        authority=f"https://login.microsoftonline.com/{world.tenant.tenant_id}",
        http_client=world.session,
    )


def test_the_schema_of_microsoft_is_at_hand() -> None:
    if oracle() is None:
        pytest.skip(ABSENT)


def test_msal_signs_an_app_in_and_its_token_reads_a_user(world: World) -> None:
    app = app_of(world)

    answer = app.acquire_token_for_client(["https://graph.microsoft.com/.default"])

    world.token = answer["access_token"]
    assert answer["expires_in"] == 3599
    assert world.get(USER)["mail"] == ADA


def test_msal_asks_only_once_while_its_token_is_good(world: World) -> None:
    app = app_of(world)
    before = world.tenant.counts()["token_calls"]

    for _ in range(3):
        app.acquire_token_for_client(["https://graph.microsoft.com/.default"])

    assert world.tenant.counts()["token_calls"] == before + 1


def test_msal_hears_of_a_wrong_secret_by_its_number(world: World) -> None:
    answer = app_of(world, "another secret").acquire_token_for_client(["https://graph.microsoft.com/.default"])

    assert answer["error"] == "invalid_client"
    assert answer["error_codes"] == [7000215]


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_secret": "no"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, 400, "unauthorized_client", 700016),
        ({"tenant": "11111111-0000-0000-0000-000000000000"}, 400, "invalid_request", 90002),
        ({"tenant": "common"}, 400, "invalid_request", 50059),
        ({"scope": "Mail.Read"}, 400, "invalid_scope", 1002012),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_a_refused_sign_in_says_why_as_entra_does(
    world: World, changes: dict[str, str], status: int, error: str, number: int
) -> None:
    answer = world.sign_in(**changes)

    said = answer.json()
    assert (answer.status_code, said["error"], said["error_codes"]) == (status, error, [number])
    assert said["error_description"].startswith(f"AADSTS{number}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= set(said)


def test_a_domain_of_the_firm_names_the_tenant_too(world: World) -> None:
    assert world.sign_in(tenant="cedar.example").status_code == 200


def test_a_token_dies_after_an_hour(world: World) -> None:
    world.clock.pass_(seconds=3599)
    assert world.ask("GET", USER).status_code == 200

    world.clock.pass_(seconds=1)

    assert world.refusal(USER) == (401, "InvalidAuthenticationToken")


def test_revoked_tokens_are_refused_and_new_ones_taken(world: World) -> None:
    world.tenant.revoke_tokens()
    refused = world.refusal(USER)

    world.token = world.sign_in().json()["access_token"]

    assert refused == (401, "InvalidAuthenticationToken")
    assert world.get(USER)["mail"] == ADA


@pytest.mark.parametrize("token", ["", "rubbish", "a.b.c"])
def test_graph_takes_nothing_but_a_token_of_this_tenant(world: World, token: str) -> None:
    world.token = token

    answer = world.ask("GET", USER)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_token_survives_a_restart_of_the_tenant(world: World) -> None:
    with open_world() as second:
        second.token = world.token

        assert second.get(USER)["mail"] == ADA


def test_what_the_sign_in_service_does_not_know_is_a_loud_501(world: World) -> None:
    answer = world.session.get("https://login.microsoftonline.com/common/oauth2/v2.0/authorize", timeout=5)

    assert answer.status_code == 501
    assert "authorize" in answer.json()["error_description"]
