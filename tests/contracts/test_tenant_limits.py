"""Throttling at the simulated tenant: at once, and in ten minutes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import pytest

from dev.tenant import Request, Switches
from dev.tenant.adapter import session as session_of
from tests.contracts.tenant_world import ADA, BOB, World, fill, inbox, open_world

MESSAGES = f"/users/{ADA}/messages"


@contextmanager
def under_way(world: World, *paths: str) -> Iterator[None]:
    """These requests are being served, and stay so until the end of the block."""
    held, go = threading.Semaphore(0), threading.Event()

    def hold(request: object) -> None:
        if threading.current_thread() in threads:
            held.release()
            go.wait(10)

    def ask(path: str) -> None:
        with session_of(world.tenant) as own:
            headers = {"Authorization": f"Bearer {world.token}"}
            own.get(f"https://graph.microsoft.com/v1.0{path}", headers=headers, timeout=10)

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    # Their work is done, and they have not ended: the place they take is still taken.
    world.tenant.after.append(hold)
    for thread in threads:
        thread.start()
    for _ in threads:
        assert held.acquire(timeout=10)
    try:
        yield
    finally:
        go.set()
        for thread in threads:
            thread.join()
        world.tenant.after.remove(hold)


def limited(reading: Literal["mailbox", "app"] | None) -> AbstractContextManager[World]:
    return open_world(switches=Switches(concurrency=reading))


def test_the_fifth_request_at_once_to_a_mailbox_is_refused_and_takes_no_place() -> None:
    with limited("mailbox") as world:
        with under_way(world, *(MESSAGES,) * 4):
            refused = [world.ask("GET", MESSAGES) for _ in range(2)]
            elsewhere = world.ask("GET", f"/users/{BOB}/messages")
            directory = world.ask("GET", f"/users/{ADA}")

        assert [one.status_code for one in refused] == [429, 429]
        assert refused[0].json()["error"]["code"] == "ApplicationThrottled"
        assert "MailboxConcurrency" in refused[0].json()["error"]["message"]
        assert refused[0].headers["Retry-After"] == "10"
        assert (elsewhere.status_code, directory.status_code) == (200, 200)
        assert world.ask("GET", MESSAGES).status_code == 200
        assert world.tenant.high_water[ADA] == 5


def test_by_the_other_reading_four_at_once_are_all_an_app_has() -> None:
    with limited("app") as world:
        with under_way(world, MESSAGES, MESSAGES, MESSAGES, f"/users/{BOB}/messages"):
            assert world.ask("GET", f"/users/{BOB}/messages").status_code == 429

        assert world.ask("GET", f"/users/{BOB}/messages").status_code == 200


def test_nothing_is_refused_unless_switched_on() -> None:
    with limited(None) as world, under_way(world, *(MESSAGES,) * 6):
        assert world.ask("GET", MESSAGES).status_code == 200


def parts(count: int, address: str = ADA) -> list[dict[str, str]]:
    return [{"id": f"{address}{at}", "method": "GET", "url": f"/users/{address}/messages"} for at in range(count)]


def statuses(world: World, *asked: dict[str, str]) -> list[int]:
    return [one["status"] for one in world.batch(*asked).json()["responses"]]


@pytest.mark.parametrize("reading", ["mailbox", "app"])
def test_a_batch_alone_passes_whole_for_only_four_parts_run_at_once(reading: Literal["mailbox", "app"]) -> None:
    with limited(reading) as world:
        assert statuses(world, *parts(10), *parts(10, BOB)) == [200] * 20


def test_a_batch_beside_a_single_call_loses_every_fourth_part() -> None:
    with limited("mailbox") as world:
        with under_way(world, MESSAGES):
            answer = world.batch(*parts(8), *parts(2, BOB)).json()["responses"]

        assert [one["status"] for one in answer] == [200, 200, 200, 429] * 2 + [200, 200]
        assert answer[3]["headers"]["Retry-After"] == "10"


def test_by_the_other_reading_a_batch_counts_as_four_whatever_its_mailboxes() -> None:
    with limited("app") as world, under_way(world, MESSAGES, MESSAGES):
        assert statuses(world, *parts(4, BOB)) == [200, 200, 429, 429]


def test_a_mailbox_is_one_whichever_of_its_names_is_used() -> None:
    with limited("mailbox") as world:
        alias = "/users/a.lovell@cedar.example/messages"
        with under_way(world, MESSAGES, MESSAGES, alias, alias):
            assert world.ask("GET", MESSAGES).status_code == 429


def test_the_door_on_the_network_counts_its_own_requests() -> None:
    with (
        open_world("server", Switches(concurrency="mailbox"), judged=False) as world,
        under_way(world, *(MESSAGES,) * 3),
    ):
        held, go = threading.Event(), threading.Event()

        def hold(request: Request) -> None:
            if request.url.endswith("?hold=1"):
                held.set()
                go.wait(10)

        def ask() -> None:
            answers.append(world.ask("GET", MESSAGES + "?hold=1").status_code)

        answers: list[int] = []
        world.tenant.after.append(hold)
        fourth = threading.Thread(target=ask)
        fourth.start()
        assert held.wait(10)
        fifth = world.ask("GET", MESSAGES).status_code
        go.set()
        fourth.join()

        assert (answers, fifth) == ([200], 429)


# -- in ten minutes


def test_a_quota_refuses_until_the_window_has_passed() -> None:
    with open_world(switches=Switches(quota=3)) as world:
        taken = [world.ask("GET", MESSAGES) for _ in range(3)]
        world.clock.pass_(seconds=100)
        refused = world.ask("GET", MESSAGES)
        other = world.ask("GET", f"/users/{BOB}/messages")
        world.clock.pass_(seconds=500)

        assert [one.status_code for one in taken] == [200] * 3
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "500")
        assert other.status_code == 200
        assert world.ask("GET", MESSAGES).status_code == 200


def test_requests_made_while_throttled_count_on() -> None:
    with open_world(switches=Switches(quota=3)) as world:
        for _ in range(9):
            world.clock.pass_(seconds=100)
            last = world.ask("GET", MESSAGES).status_code

        assert last == 429


def test_each_part_of_a_batch_counts_and_is_refused_by_itself() -> None:
    with open_world(switches=Switches(quota=3)) as world:
        assert statuses(world, *parts(5), *parts(1, BOB)) == [200, 200, 200, 429, 429, 200]


def test_ten_thousand_is_the_quota_unless_said_otherwise() -> None:
    assert (Switches().quota, Switches().concurrency) == (10_000, None)
    with open_world(switches=Switches(quota=None)) as world:
        fill(world, 1)
        assert len(world.items(inbox())) == 1
