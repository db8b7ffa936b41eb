"""Mailboxes page by page, and all that is forgotten with one, on memory and on Azurite."""

from __future__ import annotations

import pytest

from sync.state import Place, State
from tests.builders import KEYS, NOON


@pytest.fixture
def state(storage, clock) -> State:
    return State(storage.tables, KEYS, clock)


def test_pages_of_mailboxes_go_on_over_all_partitions_and_miss_none(state):
    ids = sorted(state.add_mailbox("tenant", f"box{number}@firm.example").id for number in range(40))

    found, after = [], ""
    while page := state.mailboxes_after(after, 7):
        found += [row.id for row in page]
        after = page[-1].id

    assert len({one[0] for one in ids}) > 10
    assert found == ids
    assert [row.id for row in state.mailboxes_after(ids[19], 1)] == [ids[20]]
    assert state.mailboxes_after(ids[-1], 5) == []


def test_a_place_between_two_mailboxes_is_a_place_too(state):
    ids = sorted(state.add_mailbox("tenant", f"box{number}@firm.example").id for number in range(5))

    assert [row.id for row in state.mailboxes_after(ids[2][:-1] + "\u0020", 2)] == ids[2:4]


def test_all_of_a_mailbox_is_forgotten_and_nothing_of_another(state, storage):
    ada, ben = (state.add_mailbox("tenant", f"{name}@firm.example") for name in ("ada", "ben"))
    for box in (ada, ben):
        for stream in ("mail", "mail-backfill"):
            opened = state.open(box.id, stream)
            places = [Place(f"folder {number}", "root") for number in range(120)]
            state.save(opened.lease, {"opened": NOON.isoformat()}, places)

    state.forget(ada.id)
    state.wants.forget(ada.id)
    state.forget(ada.id)
    state.wants.forget(ada.id)

    assert list(storage.tables.rows("AccordState", ada.id)) == []
    assert state.wants.of(ada.id) == []
    assert len(state.look(ben.id, "mail")[1]) == 120
    assert state.wants.wanted(ben.id, "mail").open
    assert state.mailbox(ada.id) is not None
