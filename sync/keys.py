"""Row keys from digests: no address, id or subject ever becomes part of a key (S22).

Keyed BLAKE2b. The key belongs to the deployment, is not part of key rotation and must never
change while state exists: every row is found by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

BUCKETS = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests under one secret of 16 to 64 bytes."""

    secret: bytes = field(repr=False)

    def of(self, purpose: str, *parts: str) -> str:
        """32 hex digits for `parts`; `purpose` keeps digests of different things apart."""
        return self._digest(16, purpose, parts).hex()

    def number(self, purpose: str, *parts: str) -> int:
        """64 bits for `parts`, for compact indexes."""
        return int.from_bytes(self._digest(8, purpose, parts), "big")

    def numbers(self, purpose: str, texts: Iterable[str]) -> list[int]:
        """`number` of each of these texts, for pages full of them."""
        keyed = _keyed(self.secret, 8, purpose)
        found = []
        for text in texts:
            raw = text.encode("utf-8", "surrogatepass")
            hashed = keyed.copy()
            hashed.update(len(raw).to_bytes(4, "big") + raw)
            found.append(int.from_bytes(hashed.digest(), "big"))
        return found

    def address(self, address: str) -> str:
        """The key of a mail address, whatever its letter case."""
        return self.of("address", fold(address))

    def mail(self, message_id: str, sent: datetime | None, sender: str) -> str:
        """The key of one mail across mailboxes: message id, sent time to the second, sender."""
        moment = sent.replace(microsecond=0, tzinfo=None).isoformat() if sent else ""
        return "m" + self.of("mail", message_id.strip().lower(), moment, fold(sender))

    def _digest(self, size: int, purpose: str, parts: tuple[str, ...]) -> bytes:
        # The person field separates purposes, the length prefix separates ("ab","c") from ("a","bc").
        hashed = _keyed(self.secret, size, purpose).copy()
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            hashed.update(len(raw).to_bytes(4, "big") + raw)
        return hashed.digest()


@lru_cache(64)
def _keyed(secret: bytes, size: int, purpose: str) -> hashlib.blake2b:
    """Taking in the key costs as much as a short text: done once, then copied."""
    return hashlib.blake2b(digest_size=size, key=secret, person=purpose.encode()[:16])


def fold(address: str) -> str:
    """An address as compared everywhere: trimmed, lower case."""
    return address.strip().lower()


def bucket(record_key: str) -> str:
    """The partition of a record: the first hex digit behind its type letter."""
    return record_key[1]
