"""Azurite as the tests and the demo run it: kept data, clean ends, clear words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from dev import azurite as module
from dev.azurite import Azurite, new_key
from sync.meter import Meter
from sync.ports import Write
from sync.storage import open_storage, prepare

ROOT = Path(__file__).resolve().parents[2]


def answers(connection: str) -> bool:
    """Whether something still listens at the blob endpoint."""
    url = next(part for part in connection.split(";") if part.startswith("BlobEndpoint=")).partition("=")[2]
    try:
        build_opener(ProxyHandler({})).open(url, timeout=2).close()
    except OSError as error:
        answered = getattr(error, "code", None) is not None
        getattr(error, "close", lambda: None)()
        return answered
    return True


def test_with_a_folder_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    accounts = [("firm", new_key())]
    with Azurite(tmp_path, accounts) as first:
        prepare(first.connection_string())
        storage = open_storage(first.connection_string("firm"), Meter())
        storage.tables.write("AccordState", "p", [Write("insert", "k", {"x": 1})])
        storage.blobs.put("a", b"kept")
        storage.close()

    with Azurite(tmp_path, accounts) as second:
        storage = open_storage(second.connection_string(), Meter())
        row, blob = storage.tables.get("AccordState", "p", "k"), storage.blobs.get("a")
        storage.close()

    assert row is not None
    assert row.values == {"x": 1}
    assert blob is not None
    assert blob.data == b"kept"


def test_it_stops_when_it_is_told_and_stopping_twice_is_fine() -> None:
    running = Azurite()
    connection = running.connection_string()
    while_up = answers(connection)

    running.stop()
    running.stop()

    assert while_up
    assert not answers(connection)


def test_a_port_that_is_taken_is_told_in_azurites_words(azurite: Azurite) -> None:
    taken = int(azurite.connection_string("test000").split("BlobEndpoint=http://127.0.0.1:")[1].split("/")[0])

    with pytest.raises(RuntimeError, match="EADDRINUSE"):
        Azurite(ports=(taken, 0, 0))


def test_without_node_the_error_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RuntimeError, match=r"Node\.js"):
        Azurite()


def test_without_azurite_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SCRIPT", tmp_path / "azurite.js")

    with pytest.raises(RuntimeError, match='"make run" and "make test" install it'):
        Azurite()


def test_it_does_not_outlive_the_process_that_started_it() -> None:
    script = (
        "from dev.azurite import Azurite; import time; print(Azurite().connection_string(), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    connection = parent.stdout.readline()
    while_up = answers(connection)

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    end = time.monotonic() + 10
    while answers(connection) and time.monotonic() < end:
        time.sleep(0.05)
    assert while_up
    assert not answers(connection)


def test_what_was_stored_survives_a_parent_that_is_killed_hard(tmp_path: Path) -> None:
    key = new_key()
    script = (
        "import sys, time; from pathlib import Path; from dev.azurite import Azurite\n"
        "running = Azurite(Path(sys.argv[1]), [('firm', sys.argv[2])])\n"
        "print(running.pid, running.connection_string(), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), key],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child, connection = parent.stdout.readline().split()
    prepare(connection)
    storage = open_storage(connection, Meter())
    storage.blobs.put("a", b"kept")
    storage.close()

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    end = time.monotonic() + 10
    while runs(int(child)) and time.monotonic() < end:
        time.sleep(0.05)
    with Azurite(tmp_path, [("firm", key)]) as second:
        storage = open_storage(second.connection_string(), Meter())
        blob = storage.blobs.get("a")
        storage.close()
    assert blob is not None
    assert blob.data == b"kept"


def runs(pid: int) -> bool:
    """Whether a process runs that is no child of ours."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
