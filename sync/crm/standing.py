"""What contacts say already, as 8 bytes each: so that importing a file again asks nothing for what it told before.

A row is known where a contact of its name has its address, or exactly its addresses. The contacts are read once in an
import, and only by one that meets many of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain

import orjson

from sync.crm.contacts_csv import CsvContact
from sync.crm.digests import holds, merged
from sync.crm.records import INLINE_BYTES
from sync.keys import Keys

Said = tuple[str, Sequence[str]]  # a contact's name and addresses


class Standing:
    """The digests of one import. `complete` says that all contacts there were are noted."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._numbers: array[int] = array("Q")
        self.complete = False

    def note(self, contacts: Iterable[Said]) -> None:
        """These contacts are stored."""
        found = array("Q", chain.from_iterable(map(self._digests, contacts)))
        self._numbers = merged(self._numbers, sorted(set(found)))

    def knows(self, row: CsvContact) -> bool:
        """Whether the row says what a contact says already."""
        name = row.name or row.addresses[0]  # who has no name is called by his address
        return holds(self._numbers, self._digest(name, sorted(row.addresses)))

    def _digests(self, contact: Said) -> list[int]:
        name, addresses = contact
        found = [self._digest(name, [one]) for one in addresses]
        return found if len(found) == 1 else [*found, self._digest(name, sorted(addresses))]

    def _digest(self, name: str, addresses: Sequence[str]) -> int:
        return self._keys.number("standing", name.casefold(), *addresses)


def fitting(there: tuple[str, ...], more: Iterable[str], most: int | None) -> tuple[str, ...]:
    """Addresses and as many further ones as one person can have."""
    found = dict.fromkeys(there)
    room = INLINE_BYTES - len(orjson.dumps(there))
    for one in more:
        size = len(one.encode()) + 3  # quotation marks and comma
        if one not in found and size <= room and (most is None or len(found) < most):
            found[one] = None
            room -= size
    return tuple(found)
