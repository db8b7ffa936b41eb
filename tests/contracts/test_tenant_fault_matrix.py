"""Every fault of the matrix that concerns the tenant can be expressed: B (HTTP), F (batch), H (delta), and the hooks
by which crashes, edits and zombies come between any two requests (A, D, E)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from dev.tenant import EXEMPT, Fault, Request, Switches
from dev.tenant.faults import DAMAGE, ODD_PAGES, REFUSALS
from tests.contracts.tenant_world import ADA, IMMUTABLE, World, fill, inbox_delta, message, open_world
from tests.contracts.test_tenant_writes import MESSAGES

LIGHT = "?$select=subject"
PAGED = "odata.maxpagesize=2"


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def told(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["subject"] for one in page["value"]]


# -- B: HTTP


@pytest.mark.parametrize("kind", REFUSALS)
def test_every_refusal_has_its_status_and_may_come_after_the_work(world: World, kind: str) -> None:
    for committed in (False, True):
        [mail] = fill(world, 1)
        world.tenant.faults.add(Fault("PATCH .*/messages/", kind, committed=committed))

        answer = world.ask("PATCH", message(mail), json={"isRead": True}, allow_redirects=False)

        assert answer.status_code == REFUSALS[kind][0]
        assert world.ada.message(mail).read is committed


@pytest.mark.parametrize(
    ("kind", "committed", "after", "raised"),
    [
        ("connect_timeout", False, None, requests.ConnectionError),
        ("timeout", True, 1.0, requests.ReadTimeout),
        ("timeout", False, 1.0, requests.ReadTimeout),
        ("reset", True, None, requests.ConnectionError),
        ("reset", False, None, requests.ConnectionError),
        ("reset", True, 30.0, requests.exceptions.ChunkedEncodingError),
    ],
)
def test_a_broken_connection_leaves_the_work_done_or_undone(
    world: World, kind: str, committed: bool, after: float | None, raised: type[Exception]
) -> None:
    [mail] = fill(world, 1)
    given = None if kind == "connect_timeout" else committed
    world.tenant.faults.add(Fault("PATCH", kind, after=after, committed=given))
    headers = {"Authorization": f"Bearer {world.token}"}

    with pytest.raises(raised):
        world.session.patch(
            f"https://graph.microsoft.com/v1.0{message(mail)}", json={"isRead": True}, headers=headers, timeout=0.3
        )

    assert world.ada.message(mail).read is committed


def test_in_process_a_connection_that_never_came_is_told_from_one_that_fell_silent() -> None:
    with open_world() as world:
        world.tenant.faults.add(Fault("GET", "connect_timeout"))

        with pytest.raises(requests.ConnectTimeout):
            world.ask("GET", MESSAGES)


def test_a_body_may_end_in_the_middle(world: World) -> None:
    fill(world, 3)
    world.tenant.faults.add(Fault("messages", "reset", after=100))
    world.tenant.faults.add(Fault("messages", "truncate", nth=2, after=100))

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        world.ask("GET", MESSAGES)
    cut = world.ask("GET", MESSAGES)

    assert (cut.status_code, len(cut.content)) == (200, 100)


def test_a_redirect_leads_elsewhere(world: World) -> None:
    world.tenant.faults.add(Fault("messages", "redirect", link="https://elsewhere.example/v1.0/x"))

    answer = world.ask("GET", MESSAGES, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (302, "https://elsewhere.example/v1.0/x")


# -- F: batch


@pytest.mark.parametrize("position", [1, 10, 20])
@pytest.mark.parametrize(
    ("kind", "status"), [("throttle", 429), ("unavailable", 503), ("not_found", 404), ("gateway_timeout", 504)]
)
def test_the_part_in_one_place_of_a_batch_may_fail(kind: str, status: int, position: int) -> None:
    with open_world() as world:
        fault = world.tenant.faults.add(Fault("part:GET", kind, position=position, nth=2, after=7))
        parts = [{"id": str(at), "method": "GET", "url": MESSAGES + LIGHT} for at in range(1, 21)]

        first, second, third = ([one["status"] for one in world.batch(*parts).json()["responses"]] for _ in range(3))

        assert first == third == [200] * 20
        assert [at for at, one in enumerate(second, 1) if one != 200] == [position] and status in second
        assert [one for one, _ in world.tenant.faults.fired] == [fault]


def test_a_part_may_have_been_carried_out_although_it_failed(world: World) -> None:
    [mail] = fill(world, 1)
    world.tenant.faults.add(Fault("part:PATCH", "gateway_timeout", committed=True))
    headers = {"Content-Type": "application/json"}

    answer = world.batch(
        {"id": "1", "method": "PATCH", "url": message(mail), "headers": headers, "body": {"isRead": True}}
    )

    assert answer.json()["responses"][0]["status"] == 504
    assert world.ada.message(mail).read is True


def test_only_three_shapes_of_depends_on_may_work() -> None:
    def batch(world: World, *after: tuple[str, ...]) -> int:
        parts = [
            {"id": str(at), "method": "GET", "url": MESSAGES, **({"dependsOn": list(one)} if one else {})}
            for at, one in enumerate(after)
        ]
        return world.batch(*parts).status_code

    with open_world(switches=Switches(strict_depends_on=True), judged=False) as world:
        assert batch(world, (), (), ()) == 200
        assert batch(world, (), ("0",), ("1",)) == 200
        assert batch(world, (), ("0",), ("0",)) == 200
        assert batch(world, (), ("0",), ("0", "1")) == 400
        assert batch(world, (), ("0",), (), ("2",)) == 400


# -- H: delta pages


def test_a_state_may_be_lost_at_any_page(world: World) -> None:
    fill(world, 6)
    world.tenant.faults.add(Fault("messages/delta", "gone", nth=2, code="resyncRequired"))
    page = world.get(inbox_delta(LIGHT), PAGED)

    assert world.refusal(page["@odata.nextLink"], PAGED) == (410, "resyncRequired")
    assert len(world.items(inbox_delta(LIGHT), PAGED)) == 6


def test_an_empty_page_leads_to_the_page_that_was_asked_for(world: World) -> None:
    fill(world, 3)
    world.tenant.faults.add(Fault("messages/delta", "empty_page", nth=2))

    pages = world.pages(inbox_delta(LIGHT), PAGED)

    assert [told(page) for page in pages] == [["Mail 0", "Mail 1"], [], ["Mail 2"]]


def test_a_page_may_be_replayed_or_lead_to_itself_for_ever(world: World) -> None:
    fill(world, 3)
    world.tenant.faults.add(Fault("messages/delta", "next_loop"))
    replayed = world.pages(inbox_delta(LIGHT), PAGED)
    world.tenant.faults.add(Fault("messages/delta", "next_loop", times=None))

    link = world.get(inbox_delta(LIGHT), PAGED)["@odata.nextLink"]

    assert [told(page) for page in replayed] == [["Mail 0", "Mail 1"], ["Mail 0", "Mail 1"], ["Mail 2"]]
    assert world.get(link, PAGED)["@odata.nextLink"] == link


def test_an_item_may_stand_on_two_pages(world: World) -> None:
    fill(world, 3)
    world.tenant.faults.add(Fault("messages/delta", "item_again", nth=2))

    assert [told(page) for page in world.pages(inbox_delta(LIGHT), PAGED)] == [
        ["Mail 0", "Mail 1"],
        ["Mail 1", "Mail 2"],
    ]


@pytest.mark.parametrize(("size", "name"), [(2, "@odata.nextLink"), (9, "@odata.deltaLink")])
def test_a_link_may_lead_to_another_host(world: World, size: int, name: str) -> None:
    fill(world, 3)
    world.tenant.faults.add(Fault("messages/delta", "foreign_link", link="https://graph.microsoft.com@evil.example/x"))

    page = world.get(inbox_delta(LIGHT), f"odata.maxpagesize={size}")

    assert page[name] == "https://graph.microsoft.com@evil.example/x"


def test_pages_in_a_batch_are_spoiled_too(world: World) -> None:
    fill(world, 3)
    world.tenant.faults.add(Fault("part:GET .*delta", "foreign_link"))

    answer = world.batch({"id": "1", "method": "GET", "url": inbox_delta(LIGHT)})

    assert "elsewhere.example" in answer.json()["responses"][0]["body"]["@odata.deltaLink"]


def test_every_kind_is_named_where_it_is_exempt() -> None:
    assert {*REFUSALS, *DAMAGE, *ODD_PAGES} <= EXEMPT
    with pytest.raises(ValueError, match="Only a part of a batch has a position"):
        Fault("GET", "throttle", position=2)


# -- A, D, E: what comes between


class Killed(BaseException):
    """The caller's process ends here."""


def test_a_caller_may_be_killed_before_or_after_its_work() -> None:
    for place, done in (("before", False), ("after", True)):
        with open_world() as world:
            [mail] = fill(world, 1)

            def kill(request: Request) -> None:
                if request.method == "PATCH":
                    raise Killed

            getattr(world.tenant, place).append(kill)
            with pytest.raises(Killed):
                world.ask("PATCH", message(mail), json={"isRead": True})

            assert world.ada.message(mail).read is done


def test_somebody_may_act_between_two_requests() -> None:
    with open_world() as world:
        ids = fill(world, 3)
        asked: list[str] = []

        def act(request: Request) -> None:
            asked.append(request.url)
            if len(asked) == 2:
                world.ada.purge(ids[0])

        world.tenant.before.append(act)
        page = world.get(inbox_delta(LIGHT), f"{IMMUTABLE}, {PAGED}")
        rest = world.get(page["@odata.nextLink"], f"{IMMUTABLE}, {PAGED}")

        assert told(page) == ["Mail 0", "Mail 1"]
        assert [one["id"] for one in rest["value"] if "@removed" in one] == [ids[0]]
        assert f"/users/{ADA}/" in asked[0]
