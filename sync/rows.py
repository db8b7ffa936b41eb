"""Values of stored rows by their type. A row that lacks one, or has another type there, was not written by us."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sync.ports import Row


def text(row: Row, name: str) -> str:
    """A text; empty where there is none."""
    return str(row.values.get(name, ""))


def number(row: Row, name: str) -> int:
    """A whole number; 0 where there is none."""
    return int(str(row.values.get(name, 0)))


def moment(row: Row, name: str) -> datetime:
    """A time that must be there; raises TypeError."""
    value = row.values[name]
    if not isinstance(value, datetime):
        raise TypeError(f"{name} of a row is no time")
    return value


def moment_or_none(row: Row, name: str) -> datetime | None:
    """A time, or None where there is none."""
    return moment(row, name) if name in row.values else None


def parsed(row: Row, name: str) -> Any:
    """JSON; None where there is none."""
    return json.loads(text(row, name) or "null")
