"""Azure storage behind the ports: tables, queues and files. Nothing of the SDK is loaded before storage is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.meter import Meter
from sync.ports import Blobs, Queue, Tables

if TYPE_CHECKING:
    from sync.storage.account import Services

TABLES = (
    "AccordMailboxes",
    "AccordState",
    "AccordWanted",
    "AccordExclusions",
    "AccordPolicy",
    "AccordAudit",
    "AccordRuns",
    "AccordRunItems",
    "AccordRetries",
    "CrmRecords",
    "CrmTimeline",
    "CrmAddresses",
)
CONTAINER = "accord"
QUEUES = ("sync-mail", "backfill-mail", "history-mail", "poll-idle")
POISON = "-poison"


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage account, opened. `close` lets go of its connections."""

    tables: Tables
    queue: Queue
    blobs: Blobs
    close: Callable[[], None]


def open_storage(connection: str, meter: Meter) -> Storage:
    """The account that a connection string names; `meter` counts requests and bytes sent to each of its services."""
    from sync.storage.account import services

    return _opened(services(connection, meter))


def open_storage_by_identity(account: str, meter: Meter, client_id: str = "") -> Storage:
    """An account of Azure's public cloud with the identity this process runs under, or with the one of `client_id`."""
    from azure.identity import DefaultAzureCredential

    from sync.storage.account import services_by_token

    credential = DefaultAzureCredential(managed_identity_client_id=client_id or None)
    return _opened(services_by_token(account, credential, meter), credential.close)


def prepare(connection: str) -> None:
    """Create what is absent of tables, queues, poison queues and container. In Azure the deployment has done it."""
    from sync.storage.account import create_absent, services

    account = services(connection, Meter())
    try:
        create_absent(account, TABLES, tuple(queue + end for queue in QUEUES for end in ("", POISON)), CONTAINER)
    finally:
        account.close()


def _opened(account: Services, and_close: Callable[[], None] = lambda: None) -> Storage:
    from sync.storage.blobs import AzureBlobs
    from sync.storage.queues import AzureQueue
    from sync.storage.tables import AzureTables

    def close() -> None:
        account.close()
        and_close()

    return Storage(AzureTables(account.tables), AzureQueue(account.queues), AzureBlobs(account.blobs, CONTAINER), close)
