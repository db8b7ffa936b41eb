"""Lists of messages at the simulated tenant: pages, filters, orders, and queries that are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.tenant import Switches
from tests.contracts.tenant_world import ADA, World, fill, inbox, message, open_world

LIST = f"/users/{ADA}/messages"


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


def subjects(items: list[dict[str, object]]) -> list[object]:
    return [item["subject"] for item in items]


def test_a_list_holds_ten_messages_newest_first(world: World) -> None:
    fill(world, 12)

    first = world.get(LIST + "?$select=subject")

    assert subjects(first["value"]) == [f"Mail {at}" for at in range(11, 1, -1)]
    assert "%24skip=10" in first["@odata.nextLink"]


def test_a_page_that_is_exactly_full_leads_nowhere(world: World) -> None:
    fill(world, 10)

    assert [len(page["value"]) for page in world.pages(LIST)] == [10]


def test_a_list_covers_all_folders_that_are_not_hidden(world: World) -> None:
    world.ada.add_folder("Hidden", hidden=True)
    for folder in ("inbox", "sentitems", "deleteditems", "drafts", "inbox/Clients", "Hidden"):
        fill(world, 1, folder=folder)

    assert len(world.items(LIST)) == 5
    assert len(world.items(LIST + "?includeHiddenMessages=true")) == 6


def test_a_deletion_while_somebody_pages_makes_him_miss_a_message(world: World) -> None:
    ids = fill(world, 20)
    first = world.get(inbox("?$select=subject"))

    world.ada.purge(ids[19])
    second = world.get(first["@odata.nextLink"])

    assert subjects(first["value"])[-1] == "Mail 10"
    assert subjects(second["value"])[0] == "Mail 8"


@pytest.mark.parametrize("top", ["0", "1001", "-1", "many"])
def test_a_page_size_out_of_bounds_is_refused(top: str) -> None:
    with open_world(judged=False) as world:
        assert world.refusal(f"{LIST}?$top={top}") == (400, "BadRequest")


def test_a_cap_makes_pages_shorter_and_loses_nothing() -> None:
    with open_world(switches=Switches(page_size_cap=3)) as world:
        fill(world, 8)

        pages = world.pages(LIST + "?$top=1000")

        assert [len(page["value"]) for page in pages] == [3, 3, 2]


def test_an_empty_first_page_with_a_next_link_loses_nothing() -> None:
    with open_world(switches=Switches(empty_pages_with_nextlink=True)) as world:
        fill(world, 12)

        pages = world.pages(LIST)

        assert [len(page["value"]) for page in pages] == [0, 10, 2]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("$filter=receivedDateTime ge 2026-11-20T08:58:00Z", [4, 3]),
        ("$filter=receivedDateTime gt 2026-11-20T08:58:00Z", [4]),
        ("$filter=receivedDateTime le 2026-11-20T08:56:00Z", [1, 0]),
        ("$filter=receivedDateTime lt 2026-11-20T08:56:00Z", [0]),
        ("$filter=receivedDateTime eq 2026-11-20T08:57:00Z", [2]),
        ("$filter=receivedDateTime ge 2026-11-20T08:56:00Z and receivedDateTime lt 2026-11-20T08:58:00Z", [2, 1]),
        ("$filter=receivedDateTime ge 2026-11-20T09:56:00%2B01:00&$orderby=receivedDateTime asc", [1, 2, 3, 4]),
        ("$filter=receivedDateTime ge 2026-11-19&$orderby=receivedDateTime desc", [4, 3, 2, 1, 0]),
        ("$filter=sentDateTime ge 2026-11-20T08:58:00.0000000Z", [4, 3]),
        ("$filter=lastModifiedDateTime ge 2026-11-20T09:00:00Z", [4, 3, 2, 1, 0]),
        ("$filter=isDraft eq false and isRead eq false and subject eq 'Mail 2'", [2]),
        ("$filter=isRead eq true", []),
        ("$filter=not (subject eq 'Mail 2') and receivedDateTime lt 2026-11-20T08:58:00Z", [1, 0]),
        ("$filter=subject eq 'Mail 0' or contains(subject,'4')", [4, 0]),
        ("$filter=from/emailAddress/address eq 'cy@client.example' and startswith(subject,'mail 1')", [1]),
        ("$filter=from/emailAddress/address eq 'nobody''s@client.example'", []),
        ("$orderby=subject desc&$top=2", [4, 3]),
        ("$orderby=subject", [0, 1, 2, 3, 4]),
    ],
)
def test_messages_are_filtered_and_ordered(world: World, query: str, expected: list[int]) -> None:
    fill(world, 5)

    found = world.get(f"{LIST}?$select=subject&{query}")["value"]

    if "$top" not in query:
        assert subjects(found) == [f"Mail {at}" for at in expected]
    assert subjects(found)[: len(expected)] == [f"Mail {at}" for at in expected]


def test_a_message_is_found_by_its_message_id(world: World) -> None:
    world.ada.deliver(subject="Here", message_id="<a'b@client.example>")

    found = world.get(f"{LIST}?$filter=internetMessageId eq '<a''b@client.example>'")["value"]

    assert subjects(found) == ["Here"]


@pytest.mark.parametrize(
    "query",
    [
        "$filter=isRead eq false&$orderby=receivedDateTime desc",
        "$filter=isRead eq false and receivedDateTime ge 2026-01-01&$orderby=receivedDateTime",
    ],
)
def test_an_order_that_does_not_lead_the_filter_is_too_complex(world: World, query: str) -> None:
    assert world.refusal(f"{LIST}?{query}") == (400, "InefficientFilter")


@pytest.mark.parametrize(
    "query",
    [
        "$select=id,colour",
        "$filter=colour eq 'red'",
        "$orderby=colour",
        "$filter=receivedDateTime ge",
        "$filter=receivedDateTime ge 'yesterday'",
        "$filter=receivedDateTime ge 2026-13-01T00:00:00Z",
        "$filter=isRead eq 'x'",
        "$filter=(isRead eq true",
        "$filter=isRead eq true isRead",
        "$filter=%%%",
        "$nonsense=1",
        "$top=1&$top=2",
        "$skip=-1",
    ],
)
def test_a_query_that_graph_cannot_read_is_a_400(query: str) -> None:
    with open_world(judged=False) as world:
        assert world.refusal(f"{LIST}?{query}") == (400, "BadRequest")


@pytest.mark.parametrize(
    "path",
    [
        '/users/ada@cedar.example/messages?$search="(hello)"',
        "/users/ada@cedar.example/messages?$filter=categories/any(c:c eq 'x')",
        "/users/ada@cedar.example/events",
        "/groups",
    ],
)
def test_what_the_tenant_does_not_imitate_is_a_loud_501(world: World, path: str) -> None:
    assert world.refusal(path) == (501, "NotImplemented")


def test_a_write_is_a_loud_501_too(world: World) -> None:
    answer = world.ask("PUT", message(fill(world, 1)[0]), json={"isRead": True})

    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")


def test_an_app_has_no_me(world: World) -> None:
    assert world.refusal("/me/messages") == (400, "BadRequest")
