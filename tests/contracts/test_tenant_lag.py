"""Reads that lag, delta states that are dropped, feeds without order, at the simulated tenant."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest

from dev.firm import Firm, FirmMailbox
from dev.tenant import Mailbox, Switches
from dev.tenant.compose import composed
from tests.contracts.tenant_world import ADA, IMMUTABLE, NOW, World, fill, inbox, inbox_delta, message, open_world

LIGHT = "?$select=subject,isRead"


def lagging(seconds: float = 60) -> AbstractContextManager[World]:
    return open_world(switches=Switches(lag_seconds=seconds))


def shown(items: list[dict[str, object]]) -> list[object]:
    return ["-" if "@removed" in one else one["subject"] for one in items]


def test_lists_searches_and_deltas_lag_while_a_read_by_id_is_fresh() -> None:
    with lagging() as world:
        mail = world.ada.deliver(subject="New", author="cy@client.example")

        assert world.get(message(mail))["subject"] == "New"
        assert world.items(inbox(LIGHT)) == world.items(f"/users/{ADA}/messages{LIGHT}") == []
        assert world.items(f'/users/{ADA}/messages?$search="from:cy@client.example"') == []
        assert world.items(inbox_delta(LIGHT)) == []
        world.clock.pass_(seconds=61)
        assert shown(world.items(inbox(LIGHT))) == shown(world.items(inbox_delta(LIGHT))) == ["New"]
        assert shown(world.items(f'/users/{ADA}/messages?$search="from:cy@client.example"')) == ["New"]


def test_a_change_is_listed_as_it_was() -> None:
    with lagging() as world:
        [mail] = fill(world, 1)
        world.clock.pass_(seconds=61)

        world.ada.mark_read(mail)

        assert world.get(message(mail))["isRead"] is True
        [listed] = world.items(inbox(LIGHT))
        assert (listed["isRead"], listed["id"]) == (False, world.ada.message(mail).moving)


def test_a_delta_followed_while_it_lags_tells_everything_once() -> None:
    with lagging() as world:
        first, *_ = fill(world, 3)
        world.clock.pass_(seconds=61)
        page = world.get(inbox_delta(LIGHT), IMMUTABLE)
        world.ada.mark_read(first)
        world.ada.purge(world.ada.deliver(subject="Short lived"))
        world.ada.move(first, "archive")
        world.ada.deliver(subject="Late")

        early = world.get(page["@odata.deltaLink"], IMMUTABLE)
        world.clock.pass_(seconds=61)
        late = world.get(early["@odata.deltaLink"], IMMUTABLE)

        assert shown(page["value"]) == ["Mail 0", "Mail 1", "Mail 2"]
        assert (early["value"], shown(late["value"])) == ([], ["-", "Late"])


def test_a_folder_appears_late_in_the_tree() -> None:
    with lagging() as world:
        delta = f"/users/{ADA}/mailFolders/delta?$select=displayName"
        link = world.pages(delta)[-1]["@odata.deltaLink"]
        place = world.ada.add_folder("Clients", "inbox")

        assert world.items(link) == []
        assert world.get(f"/users/{ADA}/mailFolders/{place}")["displayName"] == "Clients"
        world.clock.pass_(seconds=61)
        assert [one["displayName"] for one in world.items(link)] == ["Clients"]


def test_what_was_loaded_was_always_there_and_links_outlive_the_lag() -> None:
    with open_world() as world:
        mail = composed(author="cy@client.example", subject="Old", message_id="<1@client.example>", received=NOW)
        world.tenant.load(Firm("One", (), (FirmMailbox("eve@cedar.example", "Eve", (), (mail,)),), ()))
        delta = "/users/eve@cedar.example/mailFolders/inbox/messages/delta?$select=subject"
        world.tenant.switches = Switches(lag_seconds=3600)
        page = world.get(delta)
        world.tenant.switches = Switches()
        world.tenant.user("eve@cedar.example").deliver(subject="New")

        assert shown(page["value"]) == ["Old"]
        assert shown(world.get(page["@odata.deltaLink"])["value"]) == ["New"]


def test_a_longer_lag_shows_an_older_state() -> None:
    with lagging(10) as world:
        world.ada.deliver(subject="One")
        world.clock.pass_(seconds=20)
        seen = shown(world.items(inbox(LIGHT)))
        world.tenant.switches = Switches(lag_seconds=60)

        assert (seen, world.items(inbox(LIGHT))) == (["One"], [])


# -- states that are dropped


@pytest.mark.parametrize(
    ("switches", "status", "located"),
    [
        (Switches(), 410, True),
        (Switches(gone_without_location=True), 410, False),
        (Switches(gone_status=400), 400, True),
        (Switches(gone_status=404, gone_without_location=True), 404, False),
    ],
)
def test_a_dropped_state_is_gone_with_or_without_a_place_to_start_again(
    switches: Switches, status: int, located: bool
) -> None:
    with open_world(switches=switches) as world:
        fill(world, 2)
        messages = world.get(inbox_delta(LIGHT))["@odata.deltaLink"]
        folders = world.pages(f"/users/{ADA}/mailFolders/delta")[-1]["@odata.deltaLink"]

        world.tenant.drop_delta_states()

        for link in (messages, folders):
            answer = world.ask("GET", link)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, "syncStateNotFound")
            assert ("Location" in answer.headers) is located
        again = world.get(inbox_delta(LIGHT))
        assert shown(again["value"]) == ["Mail 0", "Mail 1"]
        assert world.items(again["@odata.deltaLink"]) == []


def test_the_changes_on_a_page_may_stand_in_no_order() -> None:
    with open_world(switches=Switches(reorder_delta=True)) as world:
        fill(world, 10)

        told = shown(world.items(inbox_delta(LIGHT)))

        assert sorted(map(str, told)) == [f"Mail {at}" for at in range(10)]
        assert told != [f"Mail {at}" for at in range(10)]


@pytest.mark.parametrize("seed", range(20))
def test_the_state_as_it_is_now_told_from_the_journal_is_the_state(seed: int) -> None:
    chance = random.Random(seed)
    with open_world(switches=Switches(case_twins=seed % 2 == 1)) as world:
        box = world.ada
        for _ in range(60):
            world.clock.pass_(seconds=1)
            act(box, chance)
            if not chance.randrange(10):
                box.as_of(world.clock() - timedelta(seconds=chance.randrange(20)))

        again = box.as_of(world.clock())

        assert state(again) == state(box)
        assert box.as_of(NOW).messages == {}


def act(box: Mailbox, chance: random.Random) -> None:
    """Something its owner or the world does."""
    ids, places = sorted(box.messages), ["inbox", "archive", "deleteditems", "drafts"]
    match chance.randrange(9) if ids else 0:
        case 0 | 1 | 2:
            box.deliver(subject=f"Mail {chance.random()}", folder=chance.choice(places))
        case 3:
            box.move(chance.choice(ids), chance.choice(places))
        case 4:
            box.copy(chance.choice(ids), chance.choice(places))
        case 5:
            box.mark_read(chance.choice(ids), chance.random() < 0.5)
        case 6:
            box.edit(chance.choice(ids), extra={"categories": [str(chance.random())]})
        case 7:
            box.purge(chance.choice(ids))
        case 8:
            place = box.add_folder(f"Folder {chance.random()}", "inbox")
            if chance.random() < 0.5:
                box.remove_folder(place)


def state(box: Mailbox) -> list[object]:
    """All that a client could see of a mailbox, with the marks that its delta tokens bear."""
    logs = [(folder.name, len(folder.log), folder.log.mark(len(folder.log))) for folder in box.folders.values()]
    return [
        *(("tree", len(box.tree), box.tree.mark(len(box.tree))), *logs),
        *((one.id, one.moving, one.folder, one.stamp, one.read, one.change_key) for one in box.messages.values()),
        *((one.light, one.modified, one.draft, one.conversation) for one in box.messages.values()),
    ]
