"""$search and $count over messages at the simulated tenant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dev.firm import Attachment, Firm, FirmMailbox
from dev.tenant.compose import composed
from tests.contracts.tenant_world import ADA, NOW, World, fill, inbox, open_world

LIST = f"/users/{ADA}/messages"


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        mails = [
            {"subject": "Offer for the bridge", "author": "Cy Ward <cy@client.example>", "to": [ADA]},
            {"subject": "Lunch", "author": ADA, "to": ["Dee <dee@client.example>"], "cc": ["cy@client.example"]},
            {"subject": "Plan", "author": "eve@other.example", "to": [ADA], "body": "<p>the bridge opens</p>"},
            {"subject": "Files", "author": "cy.too@client.example", "attachments": [Attachment("a.pdf", "", b"1")]},
        ]
        for at, fields in enumerate(mails):
            made.ada.deliver(received=NOW - timedelta(minutes=len(mails) - at), **fields)
        yield made


def found(world: World, search: str, path: str = LIST) -> list[str]:
    return [one["subject"] for one in world.items(f"{path}?$select=subject&$search={search}")]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ('"participants:cy@client.example"', ["Lunch", "Offer for the bridge"]),
        ('"PARTICIPANTS:CY@client.example"', ["Lunch", "Offer for the bridge"]),
        ('"from:cy@client.example"', ["Offer for the bridge"]),
        ('"from:ward"', ["Offer for the bridge"]),
        ('"to:dee@client.example"', ["Lunch"]),
        ('"cc:cy@client.example"', ["Lunch"]),
        ('"recipients:cy@client.example"', ["Lunch"]),
        ('"participants:eve@other.example OR to:dee@client.example"', ["Plan", "Lunch"]),
        ('"bridge"', ["Plan", "Offer for the bridge"]),
        ('"subject:bridge"', ["Offer for the bridge"]),
        ('"body:\\"bridge opens\\""', ["Plan"]),
        ('"bridge NOT from:cy@client.example"', ["Plan"]),
        ('"bridge AND from:cy@client.example"', ["Offer for the bridge"]),
        ('"hasAttachments:true"', ["Files"]),
        ("bri", ["Plan", "Offer for the bridge"]),
        ('"ridge"', []),
        ('"participants:y@client.example"', []),
    ],
)
def test_a_search_finds_people_and_words_newest_first(world: World, search: str, expected: list[str]) -> None:
    assert found(world, search) == expected


def test_a_search_may_be_limited_to_a_folder_and_pages(world: World) -> None:
    world.ada.deliver(subject="bridge again", folder="archive")

    assert found(world, '"bridge"', inbox()) == ["Plan", "Offer for the bridge"]
    pages = world.pages(f'{LIST}?$search="bridge"&$select=subject&$top=2')
    assert [len(page["value"]) for page in pages] == [2, 1]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("&$filter=isRead eq true", (400, "SearchWithFilter")),
        ("&$orderby=receivedDateTime", (400, "SearchWithOrderBy")),
    ],
)
def test_a_search_stands_alone(world: World, more: str, expected: tuple[int, str]) -> None:
    assert world.refusal(f'{LIST}?$search="bridge"{more}') == expected


@pytest.mark.parametrize("search", ['""', '"a"b"'])
def test_a_search_that_says_nothing_is_a_400(search: str) -> None:
    with open_world(judged=False) as world:
        assert world.refusal(f"{LIST}?$search={search}") == (400, "BadRequest")


def test_a_search_gives_a_thousand_results_and_no_more() -> None:
    with open_world(judged=False) as world:
        mails = tuple(
            composed(author="cy@client.example", message_id=f"<{at}>", received=NOW - timedelta(minutes=at))
            for at in range(1005)
        )
        world.tenant.load(Firm("Many", (), (FirmMailbox("many@cedar.example", "Many", (), mails),), ()))

        path = '/users/many@cedar.example/messages?$select=id&$top=600&$search="from:cy@client.example"'

        assert [len(page["value"]) for page in world.pages(path)] == [600, 400]


def test_messages_are_counted_as_text(world: World) -> None:
    answer = world.ask("GET", LIST + "/$count")

    assert (answer.text, answer.headers["Content-Type"]) == ("4", "text/plain")
    assert world.ask("GET", inbox("/$count?$filter=from/emailAddress/address eq 'cy@client.example'")).text == "1"
    assert world.ask("GET", LIST + '/$count?$search="bridge"').text == "2"


def test_searching_shows_nobody_a_body(world: World) -> None:
    fill(world, 1)
    found(world, '"bridge"')

    assert world.tenant.bodies_read == set()
