"""Values of rows by their type."""

from __future__ import annotations

import pytest

from sync import rows
from sync.ports import Row
from tests.builders import NOON

ROW = Row("p", "k", {"name": "Ada", "count": 3, "at": NOON, "json": '{"a": [1]}'}, "1")


def test_a_value_is_read_by_its_type() -> None:
    assert (rows.text(ROW, "name"), rows.number(ROW, "count"), rows.moment(ROW, "at")) == ("Ada", 3, NOON)
    assert rows.parsed(ROW, "json") == {"a": [1]}


def test_what_is_missing_is_empty() -> None:
    assert (rows.text(ROW, "x"), rows.number(ROW, "x"), rows.parsed(ROW, "x")) == ("", 0, None)
    assert (rows.moment_or_none(ROW, "x"), rows.moment_or_none(ROW, "at")) == (None, NOON)


def test_what_should_be_a_time_and_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="name of a row is no time"):
        rows.moment(ROW, "name")
