"""Opening a storage account: what is created, what is counted, how often a passing trouble is met again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

from sync.errors import Exists, Stale, StorageUnavailable, TooLarge
from sync.meter import Meter
from sync.ports import Write
from sync.storage import QUEUES, TABLES, Storage, open_storage, open_storage_by_identity, prepare
from sync.storage.account import services_by_token
from sync.storage.blobs import AzureBlobs

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def a_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything in one way; gives a connection string and the list of what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.command)
            answer(self)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/account"
    endpoints = f"BlobEndpoint={url};QueueEndpoint={url};TableEndpoint={url};"
    try:
        yield f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey=a2V5;{endpoints}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def busy(request: BaseHTTPRequestHandler) -> None:
    """503, as Azure answers when a partition has too much to do."""
    request.send_response(503)
    request.send_header("x-ms-error-code", "ServerBusy")
    request.send_header("Content-Length", "0")
    request.end_headers()


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """Take the request and say nothing."""
    request.close_connection = True


def refuse(status: int, code: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Refuse, in the form of the table service."""
    body = json.dumps({"odata.error": {"code": code, "message": {"lang": "en-US", "value": "No."}}}).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


EFFECTS: dict[str, tuple[str, Callable[[Storage], object]]] = {
    "get": ("tables", lambda storage: storage.tables.get("AccordState", "p", "k")),
    "rows": ("tables", lambda storage: list(storage.tables.rows("AccordState", "p"))),
    "insert": ("tables", lambda storage: storage.tables.write("AccordState", "p", [Write("insert", "k")])),
    "merge": ("tables", lambda storage: storage.tables.write("AccordState", "p", [Write("merge", "k")])),
    "replace": ("tables", lambda storage: storage.tables.write("AccordState", "p", [Write("replace", "k", {}, "W/1")])),
    "group": (
        "tables",
        lambda storage: storage.tables.write("AccordState", "p", [Write("insert", "k"), Write("insert", "l")]),
    ),
    "queue": ("queues", lambda storage: storage.queue.put("sync-mail", "x")),
    "blob put": ("blobs", lambda storage: storage.blobs.put("a", b"x")),
    "scan": ("tables", lambda storage: list(storage.tables.scan("AccordState"))),
    "blob stream": ("blobs", lambda storage: storage.blobs.stream("a", iter([b"x"]))),
    "blob delete": ("blobs", lambda storage: storage.blobs.delete("a")),
    "blob get": ("blobs", lambda storage: storage.blobs.get("a")),
}


@pytest.mark.parametrize("trouble", [busy, hang_up])
@pytest.mark.parametrize("effect", EFFECTS)
def test_a_trouble_of_the_storage_is_met_three_times_quickly_and_then_costs_time_and_no_attempt(
    trouble: Callable[[BaseHTTPRequestHandler], None], effect: str
) -> None:
    kind, work = EFFECTS[effect]
    meter = Meter()
    with a_server(trouble) as (connection, asked):
        storage = open_storage(connection, meter)
        started = time.monotonic()

        with pytest.raises(StorageUnavailable, match="The storage"):
            work(storage)

        storage.close()
        assert time.monotonic() - started < 5
        assert len(asked) == 3
        assert meter.counts()[kind] == 3


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_storage_that_is_not_there_costs_time_and_no_attempt(effect: str) -> None:
    _, work = EFFECTS[effect]
    with a_server(busy) as (connection, asked):
        pass  # its port is closed from here on
    storage = open_storage(connection, Meter())

    with pytest.raises(StorageUnavailable, match="did not answer"):
        work(storage)

    storage.close()
    assert not asked


@pytest.mark.parametrize("action", ["insert", "merge", "delete"])
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "EntityTooLarge", TooLarge),
        (400, "TooManyProperties", TooLarge),
        (413, "RequestBodyTooLarge", TooLarge),
        (409, "EntityAlreadyExists", Exists),
        (412, "UpdateConditionNotSatisfied", Stale),
        (404, "TableNotFound", LookupError),
        (403, "AuthorizationFailure", AzureError),
        (409, "TableBeingDeleted", AzureError),
        (400, "SomethingNew", AzureError),
    ],
)
def test_a_refusal_becomes_what_it_means_and_an_unknown_one_rises_as_it_is(
    action: Literal["insert", "merge", "delete"], status: int, code: str, kind: type[Exception]
) -> None:
    with a_server(refuse(status, code)) as (connection, asked):
        storage = open_storage(connection, Meter())

        with pytest.raises(kind) as refused:
            storage.tables.write("AccordState", "p", [Write(action, "k")])

        storage.close()
        assert len(asked) == 1
        assert refused.value.__cause__ is not refused.value


def test_everything_the_product_names_exists_after_preparing_and_preparing_again_changes_nothing(account: str) -> None:
    prepare(account)
    storage = open_storage(account, Meter())
    storage.tables.write("AccordState", "p", [Write("insert", "k")])
    assert storage.tables.get("AccordState", "p", "k") is not None
    storage.blobs.put("a", b"kept")

    prepare(account)

    assert storage.tables.get("AccordState", "p", "k") is not None
    assert storage.blobs.get("a") is not None
    storage.close()
    with (
        TableServiceClient.from_connection_string(account) as tables,
        QueueServiceClient.from_connection_string(account) as queues,
    ):
        assert sorted(table.name for table in tables.list_tables()) == sorted(TABLES)
        assert sorted(queue.name for queue in queues.list_queues()) == sorted(
            [*QUEUES, *(f"{queue}-poison" for queue in QUEUES)]
        )


def test_an_account_that_nobody_prepared_is_told_from_an_empty_one(account: str) -> None:
    storage = open_storage(account, Meter())

    for attempt, name in (
        (lambda: storage.tables.get("AccordState", "p", "k"), "AccordState"),
        (lambda: storage.queue.put("sync-mail", "x"), "sync-mail"),
        (lambda: storage.blobs.get("a"), "accord"),
        (lambda: storage.blobs.put("a", b""), "accord"),
        (lambda: storage.blobs.put("a", b"", version=""), "accord"),
        (lambda: storage.blobs.delete("a"), "accord"),
    ):
        with pytest.raises(LookupError, match=name):
            attempt()
    storage.close()


def test_every_request_is_counted_by_its_service(account: str) -> None:
    prepare(account)
    meter = Meter()
    storage = open_storage(account, meter)

    storage.tables.write("AccordState", "p", [Write("insert", "k", {"x": "y" * 100})])
    storage.tables.get("AccordState", "p", "k")
    storage.queue.put("sync-mail", "x")
    storage.blobs.put("a", b"12345")
    storage.close()

    counts = meter.counts()
    assert {name: counts[name] for name in ("tables", "queues", "blobs", "blobs_bytes")} == {
        "tables": 2,
        "queues": 1,
        "blobs": 1,
        "blobs_bytes": 5,
    }
    assert 100 < counts["tables_bytes"] < 400


def test_writes_are_counted_apart_from_reads(account: str) -> None:
    prepare(account)
    meter = Meter()
    storage = open_storage(account, meter)

    storage.tables.write("AccordState", "p", [Write("insert", "k")])
    storage.tables.write("AccordState", "p", [Write("merge", "k"), Write("insert", "l")])
    storage.tables.get("AccordState", "p", "k")
    list(storage.tables.rows("AccordState", "p"))
    storage.blobs.put("a", b"x")
    storage.blobs.get("a")
    storage.close()

    counts = meter.counts()
    assert {name: (counts[name], counts[f"{name}_writes"]) for name in ("tables", "blobs")} == {
        "tables": (4, 2),
        "blobs": (2, 1),
    }


def test_a_proxy_in_the_environment_is_not_used(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    prepare(account)
    storage = open_storage(account, Meter())
    storage.tables.write("AccordState", "p", [Write("insert", "k")])
    storage.queue.put("sync-mail", "x")
    storage.blobs.put("a", b"x")

    assert [row.key for row in storage.tables.rows("AccordState", "p")] == ["k"]
    assert (blob := storage.blobs.get("a")) is not None
    assert blob.data == b"x"
    storage.close()


def test_with_an_identity_the_account_is_reached_at_azures_own_addresses() -> None:
    class NoToken:
        def get_token(self, *_: object, **__: object) -> AccessToken:
            raise AssertionError("Nothing may be asked of the network here.")

    account = services_by_token("firm", NoToken(), Meter())

    urls = [account.tables.url, account.queues.url, account.blobs.url]
    account.close()

    assert [url.rstrip("/") for url in urls] == [
        "https://firm.table.core.windows.net",
        "https://firm.queue.core.windows.net",
        "https://firm.blob.core.windows.net",
    ]


@pytest.mark.parametrize("client_id", ["", "11111111-2222-4333-8444-555555555555"])
def test_opening_by_identity_asks_nothing_of_the_network(client_id: str) -> None:
    meter = Meter()

    storage = open_storage_by_identity("firm", meter, client_id)
    storage.close()

    assert isinstance(storage.blobs, AzureBlobs)
    assert meter.counts() == {}


def half(request: BaseHTTPRequestHandler) -> None:
    """An answer that breaks off within its body."""
    request.send_response(206)
    headers = {"Content-Length": "1000", "Content-Range": "bytes 0-999/1000", "ETag": '"1"'}
    for name, value in {**headers, "Last-Modified": "Fri, 20 Nov 2026 12:00:00 GMT"}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(b"x" * 100)
    request.close_connection = True


def test_a_file_that_breaks_off_on_the_way_costs_time_and_no_attempt() -> None:
    with a_server(half) as (connection, _):
        storage = open_storage(connection, Meter())

        with pytest.raises(StorageUnavailable, match="did not answer in full"):
            storage.blobs.get("a")

        storage.close()


def test_an_identity_that_does_not_answer_costs_time_and_no_attempt() -> None:
    class Silent:
        def get_token(self, *_: object, **__: object) -> AccessToken:
            raise ClientAuthenticationError("No managed identity endpoint found.")

    account = services_by_token("firm", Silent(), Meter())

    with pytest.raises(StorageUnavailable, match="did not answer in full"):
        AzureBlobs(account.blobs, "accord").get("a")

    account.close()


def test_naming_the_tables_loads_no_sdk() -> None:
    script = "import sys, sync.storage, sync.storage.groups; print([n for n in sys.modules if n.startswith('azure')])"

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"
