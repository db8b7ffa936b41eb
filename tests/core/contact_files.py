"""What a reader of contact files told, as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sync.crm.contacts_csv import CsvContact, Problem


@dataclass(frozen=True, slots=True)
class Found:
    """Contacts, and (line, sentence) of each problem."""

    contacts: tuple[CsvContact, ...]
    errors: tuple[tuple[int, str], ...]


def found(told: Iterable[CsvContact | Problem]) -> Found:
    """All that is told."""
    everything = list(told)
    return Found(
        tuple(one for one in everything if isinstance(one, CsvContact)),
        tuple((one.line, one.sentence) for one in everything if isinstance(one, Problem)),
    )
