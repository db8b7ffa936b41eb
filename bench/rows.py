"""What stands in an account, to see that both sides of a comparison did the same work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from azure.data.tables import TableServiceClient


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table, and the bytes of their names and values as text."""

    count: int
    size: int


def counted(connection: str) -> dict[str, Rows]:
    """Rows by table."""
    found = {}
    with TableServiceClient.from_connection_string(connection) as service:
        for table in sorted(one.name for one in service.list_tables()):
            count = size = 0
            for entity in service.get_table_client(table).list_entities():
                count += 1
                size += sum(len(name) + len(str(value)) for name, value in entity.items())
            found[table] = Rows(count, size)
    return found


def apart(one: Mapping[str, Rows], other: Mapping[str, Rows], tables: tuple[str, ...]) -> tuple[float, float]:
    """How far two accounts are apart in these tables, in rows and in bytes: the largest share of the larger side."""
    counts = [_share(one[table].count, other[table].count) for table in tables]
    return max(counts), max(_share(one[table].size, other[table].size) for table in tables)


def _share(one: int, other: int) -> float:
    return abs(one - other) / max(one, other, 1)
