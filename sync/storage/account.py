"""The three services of one storage account, each on one HTTP session of ours that counts what goes out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceExistsError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from requests.adapters import HTTPAdapter

from sync.meter import Meter

# A file of unknown length is held block by block: the SDK's own first block is 64 MB.
BLOCKS: dict[str, Any] = {"max_single_put_size": 4 * 1024 * 1024, "max_block_size": 4 * 1024 * 1024}
CONNECTIONS = 32  # above the threads of one worker: nobody waits for a connection or throws one away

# No single effect of a job may take a minute: two more tries, at once, then the error rises and the host counts it.
CONNECT_SECONDS = 5
READ_SECONDS = 15
TABLE_RETRIES: Mapping[str, Any] = {"retry_total": 2, "retry_backoff_factor": 0.2, "retry_backoff_max": 1}
OTHER_RETRIES: Mapping[str, Any] = {
    "retry_total": 2,
    "initial_backoff": 0.2,
    "increment_base": 0.5,
    "random_jitter_range": 0.1,
}


@dataclass(frozen=True, slots=True)
class Services:
    """The clients of one account. `close` ends their connections."""

    tables: TableServiceClient
    queues: QueueServiceClient
    blobs: BlobServiceClient

    def close(self) -> None:
        """End all connections; the clients are of no use afterwards."""
        self.tables.close()
        self.queues.close()
        self.blobs.close()


def services(connection: str, meter: Meter) -> Services:
    """The account that a connection string names."""
    _quiet()
    return Services(
        TableServiceClient.from_connection_string(connection, transport=_transport("tables", meter), **TABLE_RETRIES),
        QueueServiceClient.from_connection_string(connection, transport=_transport("queues", meter), **OTHER_RETRIES),
        BlobServiceClient.from_connection_string(
            connection, transport=_transport("blobs", meter), **BLOCKS, **OTHER_RETRIES
        ),
    )


def services_by_token(account: str, credential: TokenCredential, meter: Meter) -> Services:
    """An account of Azure's public cloud, entered with a token instead of a key."""
    _quiet()
    tables, queues, blobs = (f"https://{account}.{kind}.core.windows.net" for kind in ("table", "queue", "blob"))
    return Services(
        TableServiceClient(tables, credential=credential, transport=_transport("tables", meter), **TABLE_RETRIES),
        QueueServiceClient(queues, credential=credential, transport=_transport("queues", meter), **OTHER_RETRIES),
        BlobServiceClient(
            blobs, credential=credential, transport=_transport("blobs", meter), **BLOCKS, **OTHER_RETRIES
        ),
    )


def create_absent(account: Services, tables: tuple[str, ...], queues: tuple[str, ...], container: str) -> None:
    """Create those tables, queues and that container which are absent."""
    for table in tables:
        account.tables.create_table_if_not_exists(table)
    for queue in queues:
        with suppress(ResourceExistsError):
            account.queues.create_queue(queue)
    with suppress(ResourceExistsError):
        account.blobs.create_container(container)


def _quiet() -> None:
    """Keep the address of each request, with its row keys, out of the log; a level that somebody chose stays."""
    for name in ("azure", "urllib3"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def _transport(kind: str, meter: Meter) -> RequestsTransport:
    session = requests.Session()
    session.trust_env = False  # environment variables would silently override proxy and certificate bundle
    adapter = _Counted(kind, meter)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return RequestsTransport(session=session, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)


class _Counted(HTTPAdapter):
    """Counts at the last place before the wire, so that every retry and every page counts."""

    def __init__(self, kind: str, meter: Meter) -> None:
        super().__init__(pool_maxsize=CONNECTIONS)
        self._kind = kind
        self._meter = meter

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        self._meter.add(self._kind)
        if request.method not in ("GET", "HEAD"):
            self._meter.add(f"{self._kind}_writes")
        self._meter.add(f"{self._kind}_bytes", int(request.headers.get("Content-Length", 0)))
        return super().send(request, *args, **options)
