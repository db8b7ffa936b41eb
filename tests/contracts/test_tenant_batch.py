"""$batch at the simulated tenant."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest

from dev.tenant import Fault, Switches
from tests.contracts.tenant_world import ADA, IMMUTABLE, World, fill, inbox_delta, message, open_world


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def part(id: str, url: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "method": "GET", "url": url, **more}


def by_id(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in answer["responses"]}


def test_a_batch_answers_every_part_by_itself(world: World) -> None:
    [mail] = fill(world, 1)

    answer = world.batch(
        part("a", message(mail, "?$select=subject"), headers={"Prefer": IMMUTABLE}),
        part("b", f"/users/{ADA}/messages/nonsense"),
        part("c", message(mail, "/$value")),
        part("d", inbox_delta("?$select=subject")),
    )

    said = by_id(answer.json())
    assert (answer.status_code, {name: one["status"] for name, one in said.items()}) == (
        200,
        {"a": 200, "b": 400, "c": 200, "d": 200},
    )
    assert said["a"]["body"]["id"] == mail
    assert said["b"]["body"]["error"]["code"] == "ErrorInvalidIdMalformed"
    assert b"Subject: Mail 0" in b64decode(said["c"]["body"])
    assert world.get(said["d"]["body"]["@odata.deltaLink"])["value"] == []


def test_each_part_is_a_unit_and_the_batch_is_none(world: World) -> None:
    fill(world, 1)

    world.batch(*(part(str(at), f"/users/{ADA}/messages") for at in range(20)))

    counts = world.tenant.counts()
    assert (counts["calls"], counts["batches"], counts["units"], counts["body_reads"]) == (1, 1, 20, 20)


def test_a_leading_slash_may_be_missing(world: World) -> None:
    assert world.batch(part("1", f"users/{ADA}")).json()["responses"][0]["status"] == 200


def test_answers_may_come_in_another_order() -> None:
    with open_world(switches=Switches(shuffle_batch=True)) as world:
        ids = [str(at) for at in range(10)]

        answer = world.batch(*(part(name, f"/users/{ADA}") for name in ids)).json()

        order = [one["id"] for one in answer["responses"]]
        assert order != ids and sorted(order) == ids


def test_what_depends_on_a_failure_fails_too(world: World) -> None:
    answer = world.batch(
        part("1", "/users/nobody"),
        part("2", f"/users/{ADA}", dependsOn=["1"]),
        part("3", f"/users/{ADA}", dependsOn=["2"]),
        part("4", f"/users/{ADA}"),
    )

    said = by_id(answer.json())
    assert [said[name]["status"] for name in "1234"] == [404, 424, 424, 200]
    assert said["2"]["body"]["error"]["code"] == "FailedDependency"


GOOD = part("1", f"/users/{ADA}")


@pytest.mark.parametrize(
    "body",
    [
        {"requests": [part(str(at), f"/users/{ADA}") for at in range(21)]},
        {"requests": [part("a", f"/users/{ADA}"), part("A", f"/users/{ADA}")]},
        {"requests": [part("1", f"/users/{ADA}", dependsOn=["2"]), part("2", f"/users/{ADA}")]},
        {"requests": [part("1", f"/users/{ADA}", dependsOn=["9"])]},
        {"requests": []},
        {"requests": [{"id": "1", "url": "/users"}]},
        {"requests": [{**GOOD, "method": "BREW"}]},
        {"requests": [{**GOOD, "body": {"a": 1}}]},
        {"requests": ["GET /users"]},
        {"other": 1},
        [],
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(body: object) -> None:
    with open_world(judged=False) as world:
        answer = world.ask("POST", "/$batch", json=body)

        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
        assert world.tenant.counts()["units"] == 0


def test_a_batch_that_is_no_json_is_refused() -> None:
    with open_world(judged=False) as world:
        answer = world.ask("POST", "/$batch", data=b"{oops", headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_one_part_may_be_throttled_alone(world: World) -> None:
    ids = fill(world, 3)
    world.tenant.faults.add(Fault(match=r"part:/messages/", nth=2, kind="throttle", after=10))

    answer = world.batch(*(part(str(at), message(mail, "?$select=body")) for at, mail in enumerate(ids)))

    said = by_id(answer.json())
    assert [said[name]["status"] for name in "012"] == [200, 429, 200]
    assert said["1"]["headers"]["Retry-After"] == "10"
    assert said["1"]["body"]["error"]["code"] == "ApplicationThrottled"
    assert world.tenant.exchanges[-1]["exempt"] == "part:throttle"
