"""Ids, tokens and change keys as functions of content and the day, so that a second start serves the same ones.

Item ids look like Exchange's: URL-safe, about 130 characters, compared with their letter case.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import date
from uuid import UUID

_ITEM = re.compile(r"AA[Mk][kA][\w-]{100,200}=*")


@dataclass(frozen=True, slots=True)
class Ids:
    """Digests under one day."""

    day: date

    def digest(self, size: int, *parts: str | bytes) -> bytes:
        """`size` bytes (at most 64) for these parts; no two lists of parts run into each other."""
        hashed = hashlib.blake2b(self.day.isoformat().encode(), digest_size=size)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            hashed.update(len(raw).to_bytes(8, "big"))
            hashed.update(raw)
        return hashed.digest()

    def hex(self, size: int, *parts: str | bytes) -> str:
        """The same as hex digits."""
        return self.digest(size, *parts).hex()

    def guid(self, *parts: str) -> str:
        """A directory object's id, a request id."""
        return str(UUID(bytes=self.digest(16, *parts), version=4))

    def text(self, size: int, *parts: str | bytes) -> str:
        """URL-safe base64 of a digest; `size` divisible by three gives no padding."""
        return urlsafe_b64encode(self.digest(size, *parts)).decode()

    def item(self, start: str, address: str, *parts: str | bytes) -> str:
        """An item id that begins with `start` (AAMk, AAkA) and with its mailbox, as Exchange ids do."""
        return start + self.text(30, "mailbox", address) + self.text(63, *parts) + "AAA="


def well_formed(item: str) -> bool:
    """Whether this could be an id of ours: a wrong one is not found, anything else is malformed."""
    return bool(_ITEM.fullmatch(item))


def twin_of(item: str) -> str:
    """An id that differs from `item` in letter case only."""
    return item[:44] + item[44:-4].swapcase() + item[-4:]
