"""Which mails expire, and what goes with one that is removed: from its rows alone."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import orjson
import pytest

from sync.crm import removal
from sync.crm.removal import Removal
from sync.crm.timeline import timeline_key
from sync.ports import Row
from tests.builders import CLIENT, COLLEAGUE, NOON

KEY = "m" + "a" * 32
EARLY, LATE = (removal.moment(NOON + timedelta(days=days)) for days in (1, 2))


def rows(**many: dict[str, Any]) -> dict[str, Row]:
    """Rows of a mail by what follows its key, dashes for bars; the record is `record`."""
    found = {}
    for name, values in many.items():
        key = f"r|{KEY}" if name == "record" else f"r|{KEY}|" + name.replace("_", "|")
        found[key] = Row("a", key, values, "v")
    return found


@pytest.mark.parametrize(
    ("copies", "expires"),
    [
        ([], ""),
        ([EARLY], EARLY),
        ([EARLY, LATE], LATE),
        ([EARLY, ""], ""),
        ([EARLY, None], ""),
    ],
    ids=["no copy", "one", "the last counts", "one that stays by now", "one that matches"],
)
def test_a_mail_expires_if_each_of_its_copies_does(copies: list[str | None], expires: str) -> None:
    many = {
        f"s_{at}": {"item": "AAMk", **({} if time is None else {"expires": time})} for at, time in enumerate(copies)
    }

    assert removal.expires(KEY, rows(record={}, **many)) == expires


def test_a_note_beside_no_copy_does_not_let_a_mail_stay() -> None:
    many = rows(record={}, s_ada={"item": "AAMk", "expires": EARLY}, s_ben={"also": "[]"})

    assert removal.expires(KEY, many) == EARLY


def test_the_index_orders_by_time_whatever_the_zone() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))

    assert removal.moment(east) == removal.moment(NOON)
    assert removal.index_write(EARLY, KEY).key < removal.index_write(LATE, KEY).key
    assert removal.index_write(EARLY, KEY).values == {"key": KEY}


def test_all_index_rows_of_a_mail_are_found() -> None:
    many = rows(record={}, s_ada={"expires": EARLY}, s_ben={"expires": LATE}, s_eve={"expires": ""}, s_joe={})

    assert removal.index_keys(KEY, many) == {removal.index_key(EARLY, KEY), removal.index_key(LATE, KEY)}


def test_all_timeline_rows_of_a_mail_are_found() -> None:
    time = NOON.isoformat()
    hidden = f"{CLIENT.key}|{COLLEAGUE.key}"
    many = rows(record={"time": time}, s_ada={"thread": "t1"}, s_ben={"thread": "t2"}, s_eve={})
    many |= {f"r|{KEY}|p|{who}": Row("a", f"r|{KEY}|p|{who}", {}, "v") for who in (CLIENT.key, hidden)}

    assert set(removal.timeline_keys(KEY, many)) == {
        timeline_key(who, time, KEY) for who in (CLIENT.key, hidden, "t1", "t2")
    }


def test_people_come_last_because_they_may_be_too_many() -> None:
    many = rows(record={}, p_c1={}, s_ada={}, b={}, h_ada={})

    assert [row.key.removeprefix(f"r|{KEY}") for row in removal.ordered(KEY, many)] == [
        *("", "|b", "|h|ada", "|s|ada"),
        "|p|c1",
    ]


def test_all_files_of_a_mail_are_found() -> None:
    def attachments(name: str) -> str:
        return orjson.dumps(
            [["a.pdf", "", 1, False, "", "file", name, ""], ["b", "", 1, False, "", "file", "", "No."]]
        ).decode()

    large = orjson.dumps({"html": "f/html", "files": "f/list"}).decode()
    many = rows(
        record={"large": orjson.dumps({"to": "f/to"}).decode()},
        b={"large": large, "files": attachments("f/1")},
        s_ada={"files": '["f/html","f/old"]'},
        s_ben={},
        h_ada={"large": orjson.dumps({"bcc": "f/bcc"}).decode()},
    )

    assert removal.lists(many) == ["f/list"]
    assert removal.files(KEY, many, [attachments("f/2")]) == {
        *("f/to", "f/html", "f/list", "f/1", "f/2", "f/old", "f/bcc")
    }
    assert removal.files(KEY, rows(record={}), []) == set()


def test_mails_told_apart_know_each_other() -> None:
    assert removal.kin(KEY, rows(record={"first": "m1"}, s_ada={"apart": '["m2"]'}, s_ben={})) == {"m1", "m2"}
    assert removal.kin(KEY, rows(record={})) == set()
    assert removal.kin(KEY, rows()) == set()


def test_what_a_removal_leaves_stands_behind_its_index_row() -> None:
    write = removal.left_write(removal.index_key(EARLY, KEY), "[]")

    assert (write.action, write.key) == ("insert", f"x|{EARLY}|{KEY}|left")
    assert write.key < removal.index_key(LATE, KEY)


def test_what_is_left_to_do_comes_back_as_it_was_stored() -> None:
    left = Removal((("c1|9|m1", "v1"),), (("r|m1|p|c1", "v2"),), (("f/1", "v3"),), ("m2",))

    assert Removal.from_json(left.to_json()) == left
    assert Removal.from_json("") == Removal()
