"""The benchmark's peer reads a small mailbox whole, and the benchmark says what it did and did not do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.backfill import PEERS, Round, Workload, beside
from dev.tenant import Server, Tenant, serve
from tests.contracts.tenant_world import ADA, DAY, NOW, Clock
from tests.foreign.foreign_world import fill_inbox, needs

ROOT = Path(__file__).resolve().parents[2]
BODIES = sum(len(f"<p>Body {at}</p>") for at in range(25))
SENT = "<p>Sent long ago</p>"


@pytest.fixture
def server() -> Iterator[Server]:
    """Ada's mailbox: 25 mails of the last half hour, and one from a month before among those sent."""
    needs("O365", "O365")
    tenant = Tenant(DAY, Clock())
    tenant.add_user(ADA, "Ada Lovell")
    box = tenant.user(ADA)
    fill_inbox(box, 25)
    box.deliver(
        subject="Old",
        author=ADA,
        to=["cy@client.example"],
        body=SENT,
        received=NOW - timedelta(days=30),
        folder="sentitems",
    )
    made = serve(tenant)
    yield made
    made.stop()


def read(server: Server, since: datetime, *more: str) -> dict[str, Any]:
    """What the peer printed."""
    tenant = server.tenant
    told = [
        *("--port", str(server.port), "--tenant-id", tenant.tenant_id, "--client-id", tenant.client_id),
        *("--client-secret", tenant.client_secret, "--mailbox", ADA, "--since", since.isoformat(), *more),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bench.peer", *told], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_python_o365_reads_every_folder_page_by_page_with_the_bodies(server: Server) -> None:
    seen = read(server, NOW - timedelta(days=60), "--page", "10")
    counts = server.tenant.counts()

    assert (seen["seen"], seen["characters"]) == (26, BODIES + len(SENT))
    assert (counts["calls"], counts["body_reads"]) == (3, 26)
    assert seen["cpu"] > 0 and seen["peak"] > 0


def test_python_o365_asks_for_its_largest_page_and_leaves_out_what_is_older(server: Server) -> None:
    seen = read(server, NOW - timedelta(days=1))

    assert (seen["seen"], seen["characters"]) == (25, BODIES)
    assert server.tenant.counts()["calls"] == 1


def round_with(peers: dict[str, dict[str, Any]]) -> Round:
    """Two messages of which one was kept, in 3 ms."""
    product = {"cpu": 0.003, "wall": 9.0, "peak": 50_000_000, "progress": {"seen": 2, "kept": 1}}
    tenant = {"calls": 4, "units": 5, "body_reads": 1, "bytes_out": 2_000_000}
    return Round(product=product, bare={}, tenant=tenant, rows={}, bare_rows={}, peers=peers)


def test_what_python_o365_took_stands_beside_ours_and_has_no_gate() -> None:
    tenant = {"calls": 1, "units": 1, "body_reads": 2, "bytes_out": 8_000_000}
    peer = {"cpu": 0.001, "wall": 1.0, "peak": 80_000_000, "seen": 2, "tenant": tenant}

    figures, notes = beside(Workload("small"), [round_with(dict.fromkeys(PEERS, peer))])

    assert [(one.value, one.gate) for one in figures] == [(0.5, ""), (0.5, ""), (1.5, "")]
    assert "1 requests, 1 units, 2 messages, 2 bodies, 8.0 MB" in figures[0].said
    assert "4 requests, 5 units, 2 messages, 1 bodies, 2.0 MB" in figures[-1].said
    assert "stores nothing" in notes[0]


def test_a_benchmark_without_python_o365_says_that_it_is_not_installed() -> None:
    figures, notes = beside(Workload("small"), [round_with({})])

    assert (figures, len(notes)) == ([], 1)
    assert "python-o365 is not installed" in notes[0]
