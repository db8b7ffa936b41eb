"""A sample of the cells with nothing in memory: storage is Azurite, and the tenant is asked over HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
import requests
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from dev.detour import DetourAdapter
from dev.memory import ManualClock
from dev.tenant.faults import Faults
from dev.tenant.server import serve
from sync.graph.session import ThreadSessions
from sync.meter import Meter
from sync.ports import Blobs, Tables, Write
from sync.storage import POISON, QUEUES, TABLES, Storage, open_storage, prepare
from sync.storage.groups import GROUP_ROWS
from tests.machines.cells import Cell, all_cells
from tests.machines.play import played
from tests.machines.world import HostedStage
from tests.stage import Scene

SAMPLE = 30
# How long an answer is waited for. Where a worker stands still the tenant answers it only when another one has done
# everything: patience must outlast that. The short one is for a tenant that was told to be silent.
SECONDS, SILENT = 60.0, 0.3
CELLS = all_cells(soak=True)


class ClockedQueue:
    """Azure's queues by the stage's clock: a message waits here until its time has come."""

    def __init__(self, inner: Any, connection: str, clock: ManualClock) -> None:
        self._inner, self._clock = inner, clock
        self._later: list[tuple[datetime, str, str]] = []
        policy = {"message_decode_policy": TextBase64DecodePolicy()}
        names = [name + end for name in QUEUES for end in ("", POISON)]
        self._clients = {name: QueueClient.from_connection_string(connection, name, **policy) for name in names}
        self._there = dict.fromkeys(names, 0)

    def put(self, queue: str, text: str, delay: float = 0) -> None:
        """Send `text` when its time has come."""
        if delay:
            self._later.append((self._clock() + timedelta(seconds=math.ceil(delay)), queue, text))
            return
        self._inner.put(queue, text)
        self._there[queue] += 1

    def take(self, queue: str) -> str | None:
        """The next message, removed; nobody asks where nothing was put."""
        for one in [one for one in self._later if one[0] <= self._clock()]:
            self._later.remove(one)
            self.put(*one[1:])
        if not self._there[queue]:
            return None
        message = self._clients[queue].receive_message()
        assert message is not None
        self._clients[queue].delete_message(message)
        self._there[queue] -= 1
        return str(message.content)

    def messages(self, queue: str) -> list[str]:
        """What is left there."""
        return [one.content for one in self._clients[queue].peek_messages(32)]

    def waiting(self, queue: str) -> list[str]:
        """What is left here."""
        return [text for _, name, text in self._later if name == queue]

    def close(self) -> None:
        """End the connections."""
        for client in self._clients.values():
            client.close()


class Impatient(DetourAdapter):
    """Waits for no answer that will not come."""

    def __init__(self, port: int, faults: Faults) -> None:
        super().__init__(port)
        self._faults = faults

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send to the tenant."""
        seconds = SILENT if "timeout" in self._faults.kinds else SECONDS
        return super().send(request, *args, **{**kwargs, "timeout": seconds})


class WiredStage(HostedStage):
    """A stage on Azurite, before a tenant behind a port."""

    stored: Storage
    connection: str

    def storage(self, scene: Scene) -> tuple[Tables, Blobs, Any]:
        """An account of its own, with all that the scene has stored."""
        self.clocked = ClockedQueue(self.stored.queue, self.connection, self.clock)
        for table in TABLES:
            for partition, found in groupby(scene.tables.scan(table), lambda row: row.partition):
                rows = [Write("insert", row.key, row.values) for row in found]
                for first in range(0, len(rows), GROUP_ROWS):
                    self.stored.tables.write(table, partition, rows[first : first + GROUP_ROWS])
        for name in scene.blobs.names():
            blob = scene.blobs.get(name)
            assert blob is not None
            self.stored.blobs.put(name, blob.data)
        for queue in QUEUES:
            for delay, text in [(0.0, text) for text in scene.queue.messages(queue)] + scene.queue.waiting(queue):
                self.clocked.put(queue, text, delay)
        return self.watched(self.stored.tables, self.stored.blobs, self.clocked)

    def open_sessions(self) -> ThreadSessions:
        """Through the door on the network."""
        self.server = serve(self.tenant)
        return ThreadSessions(lambda: Impatient(self.server.port, self.tenant.faults))

    def close(self) -> None:
        """End sessions, queues and the door."""
        super().close()
        self.clocked.close()
        self.server.stop()


@pytest.fixture
def wired(account: str) -> Iterator[type[HostedStage]]:
    """A kind of stage for one test."""
    prepare(account)
    stored = open_storage(account, Meter())
    yield type("Wired", (WiredStage,), {"stored": stored, "connection": account})
    stored.close()


@pytest.mark.parametrize("cell", CELLS[:: len(CELLS) // SAMPLE][:SAMPLE], ids=lambda cell: cell.id)
def test_all_is_well_again_on_azurite_after(cell: Cell, wired: type[HostedStage]) -> None:
    assert played(cell, wired) == []
