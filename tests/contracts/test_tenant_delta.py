"""Message deltas of the simulated tenant: rounds, pages, tokens, and what the real ones do to a client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dev.firm import Firm, FirmMailbox
from dev.tenant import Switches
from dev.tenant.compose import composed
from tests.contracts.tenant_world import ADA, IMMUTABLE, NOW, World, fill, inbox_delta, message, open_world

LIGHT = "?$select=subject"


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


def told(items: list[dict[str, Any]]) -> list[str]:
    """Subjects, with a minus for what was removed."""
    return ["-" if "@removed" in item else item["subject"] for item in items]


def follow(world: World, link: str, prefer: str = IMMUTABLE) -> tuple[list[str], str]:
    """What a round from this link tells, and the link to the next round."""
    pages = world.pages(link, prefer)
    return told([item for page in pages for item in page["value"]]), pages[-1]["@odata.deltaLink"]


def test_a_round_tells_everything_and_the_next_one_only_what_changed(world: World) -> None:
    ids = fill(world, 12)

    first, link = follow(world, inbox_delta(LIGHT))
    nothing, link = follow(world, link)
    world.ada.mark_read(ids[3])
    world.ada.deliver(subject="New")
    world.ada.purge(ids[5])
    changed, link = follow(world, link)

    assert sorted(first) == sorted(f"Mail {at}" for at in range(12))
    assert nothing == []
    assert changed == ["Mail 3", "New", "-"]
    assert follow(world, link)[0] == []


def test_a_page_carries_exactly_one_link_and_ten_messages(world: World) -> None:
    fill(world, 12)

    pages = world.pages(inbox_delta(LIGHT))

    assert [len(page["value"]) for page in pages] == [10, 2]
    assert "skiptoken" in pages[0]["@odata.nextLink"] and "deltatoken" in pages[1]["@odata.deltaLink"]
    assert [("@odata.nextLink" in page, "@odata.deltaLink" in page) for page in pages] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("query", "prefer"), [("&$top=5", ""), ("", "odata.maxpagesize=5"), ("&$top=9", "odata.maxpagesize=5")]
)
def test_the_page_size_is_preferred_or_asked_for(world: World, query: str, prefer: str) -> None:
    fill(world, 12)

    assert [len(page["value"]) for page in world.pages(inbox_delta(LIGHT + query), prefer)] == [5, 5, 2]


def test_top_may_do_nothing() -> None:
    with open_world(switches=Switches(delta_ignores_top=True)) as world:
        fill(world, 12)

        assert [len(page["value"]) for page in world.pages(inbox_delta(LIGHT + "&$top=5"))] == [10, 2]


def test_what_changes_while_somebody_pages_is_told_in_the_same_round(world: World) -> None:
    ids = fill(world, 12)
    first = world.get(inbox_delta(LIGHT), IMMUTABLE)
    seen = told(first["value"])

    world.ada.purge(ids[0])
    world.ada.mark_read(ids[11])
    world.ada.deliver(subject="New")
    rest, _ = follow(world, first["@odata.nextLink"])

    assert "Mail 0" in seen
    assert rest == ["Mail 10", "-", "Mail 11", "New"]


def test_what_came_and_went_unseen_is_not_told(world: World) -> None:
    _, link = follow(world, inbox_delta(LIGHT))

    world.ada.purge(world.ada.deliver(subject="Short lived"))

    assert follow(world, link)[0] == []


def test_a_move_leaves_one_folder_and_comes_to_another(world: World) -> None:
    [mail] = fill(world, 1)
    other = f"/users/{ADA}/mailFolders/archive/messages/delta"
    _, inbox_link = follow(world, inbox_delta(LIGHT))
    _, archive_link = follow(world, other + LIGHT)

    world.ada.move(mail, "archive")

    left = world.get(inbox_link, IMMUTABLE)["value"]
    came = world.get(archive_link, IMMUTABLE)["value"]
    assert left == [{"@odata.type": "#microsoft.graph.message", "id": mail, "@removed": {"reason": "deleted"}}]
    assert [one["id"] for one in came] == [mail]


def test_without_immutable_ids_a_move_and_back_is_another_message(world: World) -> None:
    [mail] = fill(world, 1)
    page = world.get(inbox_delta(LIGHT))
    before = page["value"][0]["id"]

    world.ada.move(mail, "archive")
    world.ada.move(mail, "inbox")
    items = world.get(page["@odata.deltaLink"])["value"]

    assert told(items) == ["-", "Mail 0"]
    assert items[0]["id"] == before != items[1]["id"]


@pytest.mark.parametrize(("loses", "expected"), [(False, ["Mail 0"]), (True, ["-"])])
def test_with_immutable_ids_a_message_moved_out_and_back_may_be_lost(loses: bool, expected: list[str]) -> None:
    with open_world(switches=Switches(immutable_move_loses=loses)) as world:
        [mail] = fill(world, 1)
        _, link = follow(world, inbox_delta(LIGHT))

        world.ada.move(mail, "archive")
        world.ada.move(mail, "inbox")
        items, link = follow(world, link)

        assert items == expected
        assert follow(world, link)[0] == []
        assert world.get(message(mail), IMMUTABLE)["subject"] == "Mail 0"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("created", ["New"]), ("updated", ["Mail 0"]), ("deleted", ["-"]), ("", ["Mail 0", "New", "-"])],
)
def test_a_delta_may_be_limited_to_one_kind_of_change(world: World, kind: str, expected: list[str]) -> None:
    ids = fill(world, 2)
    query = LIGHT + (f"&changeType={kind}" if kind else "")
    first, link = follow(world, inbox_delta(query))

    world.ada.mark_read(ids[0])
    world.ada.deliver(subject="New")
    world.ada.purge(ids[1])

    assert first == (["Mail 0", "Mail 1"] if kind in ("", "created") else [])
    assert follow(world, link)[0] == expected


@pytest.mark.parametrize(("word", "expected"), [("ge", ["Mail 2", "Mail 3"]), ("gt", ["Mail 3"])])
def test_a_delta_may_be_filtered_by_time_received(world: World, word: str, expected: list[str]) -> None:
    ids = fill(world, 4)
    query = f"{LIGHT}&$filter=receivedDateTime {word} 2026-11-20T08:58:00Z"

    first, link = follow(world, inbox_delta(query))
    world.ada.mark_read(ids[0])
    world.ada.mark_read(ids[3])

    assert first == expected
    assert follow(world, link)[0] == ["Mail 3"]


def test_changes_to_older_messages_may_pass_the_filter_later() -> None:
    with open_world(switches=Switches(old_changes_pass_filter=True)) as world:
        ids = fill(world, 4)
        _, link = follow(world, inbox_delta(LIGHT + "&$filter=receivedDateTime ge 2026-11-20T08:58:00Z"))

        world.ada.mark_read(ids[0])

        assert follow(world, link)[0] == ["Mail 0"]


def test_newest_first_when_ordered(world: World) -> None:
    ids = fill(world, 12)
    first = world.get(inbox_delta(LIGHT + "&$orderby=receivedDateTime desc"), IMMUTABLE)

    world.ada.mark_read(ids[0])
    world.ada.deliver(subject="New")
    rest, link = follow(world, first["@odata.nextLink"])

    assert told(first["value"]) == [f"Mail {at}" for at in range(11, 1, -1)]
    assert rest == ["Mail 1", "Mail 0", "New"]
    assert follow(world, link)[0] == []


@pytest.mark.parametrize(
    "query",
    [
        "?$filter=isRead eq true",
        "?$filter=receivedDateTime le 2026-11-20T08:58:00Z",
        "?$filter=receivedDateTime ge 2026-11-20 and isRead eq true",
        "?$orderby=subject",
        "?$search=hello",
        "?changeType=moved",
        "?$select=colour",
    ],
)
def test_a_delta_takes_few_options(query: str) -> None:
    with open_world(judged=False) as world:
        assert world.refusal(inbox_delta(query)) == (400, "BadRequest")


def test_there_is_no_delta_over_a_whole_mailbox() -> None:
    with open_world(judged=False) as world:
        assert world.refusal(f"/users/{ADA}/messages/delta") == (400, "BadRequest")


# -- the 5,000 and other gotchas


def loaded(world: World, count: int) -> None:
    start = NOW - timedelta(minutes=count)
    mail = tuple(
        composed(
            author="cy@client.example", message_id=f"<{at}@client.example>", received=start + timedelta(minutes=at)
        )
        for at in range(count)
    )
    world.tenant.load(Firm("Many", (), (FirmMailbox("many@cedar.example", "Many", (), mail),), ()))


@pytest.mark.parametrize("order", ["", "&$orderby=receivedDateTime desc"])
def test_a_filtered_delta_stops_at_five_thousand(order: str) -> None:
    with open_world(judged=False) as world:
        loaded(world, 5005)
        path = "/users/many@cedar.example/mailFolders/inbox/messages/delta?$select=id"

        filtered = world.pages(f"{path}&$filter=receivedDateTime ge 2020-01-01{order}", "odata.maxpagesize=999")
        whole = world.items(path, "odata.maxpagesize=1000")

        assert sum(len(page["value"]) for page in filtered) == 5000
        assert world.items(filtered[-1]["@odata.deltaLink"]) == []
        assert len(whole) == 5005


@pytest.mark.parametrize(
    "switches",
    [
        Switches(empty_pages_with_nextlink=True),
        Switches(replay_pages=True),
        Switches(duplicate_items=True),
        Switches(page_size_cap=2),
        Switches(empty_pages_with_nextlink=True, replay_pages=True, duplicate_items=True, page_size_cap=1),
    ],
)
def test_odd_pages_lose_nothing_and_end(switches: Switches) -> None:
    with open_world(switches=switches) as world:
        ids = fill(world, 12)

        first, link = follow(world, inbox_delta(LIGHT))
        world.ada.mark_read(ids[2])
        second, link = follow(world, link)

        assert set(first) == {f"Mail {at}" for at in range(12)}
        assert "Mail 2" in second


def test_pages_may_be_empty_replayed_or_doubled() -> None:
    empty, replayed, doubled = (
        Switches(empty_pages_with_nextlink=True),
        Switches(replay_pages=True),
        Switches(duplicate_items=True),
    )
    counts = []
    for switches in (empty, replayed, doubled):
        with open_world(switches=switches) as world:
            fill(world, 12)
            counts.append([len(page["value"]) for page in world.pages(inbox_delta(LIGHT))])

    assert counts == [[0, 10, 0, 2], [10, 5], [11, 3]]


# -- tokens


def firm(*subjects: str) -> Firm:
    mail = tuple(
        composed(author="cy@client.example", subject=one, message_id=f"<{one}@client.example>", received=NOW)
        for one in subjects
    )
    return Firm("Twice", (), (FirmMailbox("eve@cedar.example", "Eve", (), mail),), ())


EVE = "/users/eve@cedar.example/mailFolders/inbox/messages/delta?$select=subject"


def test_a_second_process_serves_the_same_ids_and_takes_the_old_links() -> None:
    with open_world() as first, open_world() as second:
        first.tenant.load(firm("One", "Two"))
        second.tenant.load(firm("One", "Two"))

        page = first.get(EVE, IMMUTABLE)
        same = second.get(EVE, IMMUTABLE)
        later = second.get(page["@odata.deltaLink"], IMMUTABLE)

        assert page == same
        assert later["value"] == []


def test_a_process_with_more_mail_at_the_end_tells_it_by_the_old_link() -> None:
    with open_world() as first, open_world() as second:
        first.tenant.load(firm("One"))
        second.tenant.load(firm("One", "Two"))
        link = first.get(EVE)["@odata.deltaLink"]

        assert told(second.get(link)["value"]) == ["Two"]


@pytest.mark.parametrize("subjects", [["One", "Three"], ["Three", "Two"], ["Two", "One"], ["One"], []])
def test_a_process_with_another_history_knows_no_old_link(subjects: list[str]) -> None:
    with open_world() as first, open_world() as second:
        first.tenant.load(firm("One", "Two"))
        second.tenant.load(firm(*subjects))
        link = first.get(EVE)["@odata.deltaLink"]

        answer = second.ask("GET", link)

        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "syncStateNotFound")
        assert told(second.get(answer.headers["Location"])["value"]) == subjects


def test_a_broken_token_and_one_of_another_folder_are_refused(world: World) -> None:
    link = world.get(inbox_delta(LIGHT))["@odata.deltaLink"]

    assert world.refusal(link[:-9]) == (400, "SyncStateInvalid")
    assert world.refusal(link.replace("'inbox'", "'archive'")) == (400, "SyncStateInvalid")
    assert world.refusal(inbox_delta("?$deltatoken=latest")) == (400, "SyncStateInvalid")


def test_a_delta_of_a_removed_folder_is_a_404(world: World) -> None:
    place = world.ada.add_folder("Old", "inbox")
    link = world.get(f"/users/{ADA}/mailFolders/{place}/messages/delta")["@odata.deltaLink"]

    world.ada.remove_folder(place)

    assert world.refusal(link) == (404, "ErrorItemNotFound")


def test_asking_changes_nothing(world: World) -> None:
    fill(world, 3)
    first = world.get(inbox_delta())

    again = world.get(inbox_delta())

    assert first == again
