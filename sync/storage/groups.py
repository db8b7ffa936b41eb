"""Pure: what a row, a file name and a message may look like, and how many rows travel together in one request.

The limits are Azure's (learn.microsoft.com/rest/api/storageservices, "Understanding the Table service data model" and
"Performing entity group transactions"), checked here because the local emulator does not enforce all of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sync.errors import TooLarge
from sync.ports import Value, Write

GROUP_ROWS = 100
GROUP_BYTES = 4_000_000  # a request may have 4 MiB; the rest is for the envelope of the group
VALUE_BYTES = 32 * 1024
ROW_BYTES = 1024 * 1024
ROW_VALUES = 252
KEY_LENGTH = 512  # 1 KiB of UTF-16
NAME_LENGTH = 1024
TEXT_BYTES = 48 * 1024  # 64 KiB as base64
DELAY_SECONDS = 7 * 24 * 3600

# One part of a group: the request line with both keys, its headers and boundary, the names that frame its JSON.
PART_BYTES = 4096

# Keys come from digests. Azure forbids / \ # ? and control characters and trips over %; beyond ASCII its order of
# letters is its own.
_KEY = re.compile(f"[ -~]{{1,{KEY_LENGTH}}}")
_BOUND = re.compile(f"[ -~\u00a0-\ud7ff\ue000-\uffff]{{0,{KEY_LENGTH}}}")
_FORBIDDEN = frozenset("/\\#?%")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_RESERVED = frozenset({"PartitionKey", "RowKey", "Timestamp"})
_OLDEST = datetime(1601, 1, 1, tzinfo=UTC)


def in_groups(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Split writes into groups that one request can carry; their order is kept and no row is split."""
    group: list[Write] = []
    room = GROUP_BYTES
    for write in writes:
        size = size_of(write)
        if group and (size > room or len(group) == GROUP_ROWS):
            yield group
            group, room = [], GROUP_BYTES
        group.append(write)
        room -= size
    if group:
        yield group


def size_of(write: Write) -> int:
    """What a write takes on the wire at most, in bytes."""
    values = sum(2 * len(name) + 40 + _wire_size(value) for name, value in write.values.items())
    return PART_BYTES + 3 * len(write.key) + values


def check_group(partition: str, writes: Sequence[Write]) -> None:
    """Raise TooLarge or ValueError unless these writes can go out as one request."""
    check_key(partition)
    if len(writes) > GROUP_ROWS:
        raise TooLarge(f"A group has {len(writes)} rows; the storage takes {GROUP_ROWS}.")
    seen: set[str] = set()
    for write in writes:
        if write.key in seen:
            raise ValueError(f"Row {write.key!r} stands twice in one group.")
        seen.add(write.key)
        check(write)
    size = sum(map(size_of, writes))
    if size > GROUP_BYTES:
        raise TooLarge(f"A group of {len(writes)} rows has {size} bytes; the storage takes {GROUP_BYTES}.")


def check(write: Write) -> None:
    """Raise TooLarge or ValueError, naming row and value, unless the storage can hold this write."""
    check_key(write.key)
    if write.version is not None and (write.action in ("insert", "update") or not write.version):
        raise ValueError(f"Row {write.key!r}: {write.action} with the version {write.version!r} means nothing.")
    for name, value in write.values.items():
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ValueError(f"Row {write.key!r}: {name!r} cannot be the name of a value.")
        _check_value(f"Row {write.key!r}, value {name!r}", value)
    check_row(write.key, write.values)


def check_row(key: str, values: Mapping[str, Value]) -> None:
    """Raise TooLarge where these values are too many, or too large, for one row."""
    if len(values) > ROW_VALUES:
        raise TooLarge(f"Row {key!r} has {len(values)} values; the storage takes {ROW_VALUES}.")
    size = 4 * KEY_LENGTH + sum(8 + 2 * len(name) + _stored_size(value) for name, value in values.items())
    if size > ROW_BYTES:
        raise TooLarge(f"Row {key!r} has {size} bytes; the storage takes {ROW_BYTES}.")


def check_key(key: str) -> None:
    """Raise ValueError unless `key` can be a partition or row key: 1 to 1024 of printable ASCII without / \\ # ? %."""
    if not _KEY.fullmatch(key) or not _FORBIDDEN.isdisjoint(key):
        raise ValueError(
            f"{_short(key)} cannot be a key: 1 to {KEY_LENGTH} printable ASCII characters without / \\ # ? %"
        )


def check_bound(bound: str) -> None:
    """Raise ValueError unless keys can be compared with `bound`: no control characters, nothing beyond U+FFFF."""
    if not _BOUND.fullmatch(bound):
        raise ValueError(f"{_short(bound)} cannot be a bound of keys.")


def check_name(name: str) -> None:
    """Raise ValueError unless `name` can be the name of a file: parts as keys are, with single slashes between them."""
    for part in name.split("/"):
        check_key(part)
    if len(name) > NAME_LENGTH or any(part in (".", "..") for part in name.split("/")):
        raise ValueError(f"{_short(name)} cannot be the name of a file.")


def check_text(text: str, delay: float) -> None:
    """Raise TooLarge or ValueError unless a queue can take this message with this delay."""
    size = len(text.encode())
    if size > TEXT_BYTES:
        raise TooLarge(f"A queue message has {size} bytes; the storage takes {TEXT_BYTES}.")
    if not 0 <= delay <= DELAY_SECONDS:
        raise ValueError(f"A queue message can wait for 0 to {DELAY_SECONDS} seconds, not {delay!r}.")


def stored(value: Value) -> Value:
    """A value as it comes back out of the storage: storable text, moments in UTC."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def storable(text: str) -> str:
    """`text` with halves of surrogate pairs joined where they meet and replaced by U+FFFD where they stand alone.

    UTF-16 and UTF-8 hold everything else, control characters and non-characters included; JSON escapes them.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _check_value(place: str, value: Value) -> None:
    if isinstance(value, str | bytes):
        size = len(value) if isinstance(value, bytes) or value.isascii() else len(storable(value).encode())
        if size > VALUE_BYTES:
            raise TooLarge(f"{place} has {size} bytes; the storage takes {VALUE_BYTES}.")
    elif isinstance(value, datetime):
        if value.tzinfo is None or value < _OLDEST:
            raise ValueError(f"{place}: a moment must have a time zone and lie after the year 1600.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place}: {value!r} is not a finite number.")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{place}: a whole number must fit into 64 bits.")
    else:
        raise ValueError(f"{place}: a {type(value).__name__} cannot be stored.")


def _wire_size(value: Value) -> int:
    if isinstance(value, str):
        return len(json.dumps(value))
    if isinstance(value, bytes):
        return (len(value) + 2) // 3 * 4 + 2
    return 40


def _stored_size(value: Value) -> int:
    if isinstance(value, str):
        return 4 + (2 * len(value) if value.isascii() else len(value.encode("utf-16-le", "surrogatepass")))
    if isinstance(value, bytes):
        return 4 + len(value)
    return 8


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")
