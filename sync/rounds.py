"""Rounds of new addresses, for mailboxes to look for the mail they missed.

AccordState  partition `history`; row `gather`: what was read of the CRM's feed, what waits for its round, how far the
             mailboxes were told; rows `round|number`: when, and which addresses (none: too many to search for)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sync.errors import Exists, Stale
from sync.ports import Tables, Value, Write
from sync.state import STATE

PARTITION = "history"
GATHER = "gather"
# So long a round is kept: it names addresses.
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Round:
    """Addresses that became contacts' at about the same time; none are named where a listing has to answer them."""

    number: int
    at: datetime
    addresses: tuple[str, ...]


class Rounds:
    """The rounds, by one Tables port."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def gathered(self) -> tuple[dict[str, Any], str]:
        """What was gathered, and the version to save it over; nothing and "" before the first time."""
        row = self._tables.get(STATE, PARTITION, GATHER)
        return (json.loads(str(row.values["json"])), row.version) if row else ({}, "")

    def save(self, known: Mapping[str, Any], version: str, closed: Round | None = None) -> str:
        """Save what was gathered over exactly the version read, and with it the round that it closes; returns the new
        version, "" where somebody else was quicker and nothing was written."""
        values: dict[str, Value] = {"json": json.dumps(known)}
        writes = [Write("replace", GATHER, values, version) if version else Write("insert", GATHER, values)]
        if closed is not None:
            what: dict[str, Value] = {"at": closed.at, "addresses": json.dumps(closed.addresses)}
            writes.append(Write("insert", f"round|{closed.number:08d}", what))
        try:
            return self._tables.write(STATE, PARTITION, writes)[GATHER]
        except (Exists, Stale):
            return ""

    def forget(self, now: datetime) -> int:
        """Remove the rounds that are older than KEPT; returns how many."""
        old = [one for one in self.after(0) if one.at < now - KEPT]
        for at in range(0, len(old), 100):
            writes = [Write("delete", f"round|{one.number:08d}") for one in old[at : at + 100]]
            self._tables.write(STATE, PARTITION, writes)
        return len(old)

    def after(self, number: int) -> list[Round]:
        """All rounds behind this one, in order."""
        found = []
        for row in self._tables.rows(STATE, PARTITION, f"round|{number + 1:08d}", "round|~"):
            at = row.values["at"]
            assert isinstance(at, datetime)  # noqa: S101 - written as one
            addresses = json.loads(str(row.values["addresses"]))
            found.append(Round(int(row.key.partition("|")[2]), at, tuple(addresses)))
        return found
