"""backfill-5k: one mailbox's old mail into the CRM, by the product and by the bare loop, each on a fresh stage."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure
from bench.product import BACKFILL_MONTHS, DIGEST_KEY
from bench.rows import Rows, apart, counted
from bench.stage import Stage, printed, stage
from dev.tenant.synthetic import OWNER

COMPARED = ("CrmRecords", "CrmTimeline")
MB = 1e6
# How python-o365 reads the same mailbox: in pages that are common, and in the largest that it asks for.
PEERS = {"python-o365, page 100": ("--page", "100"), "python-o365, page 999": ()}
READS_ONLY = (
    "python-o365 only reads: every message with its body, into nothing. It decides nothing and stores nothing.",
    "Ours decides, reads the bodies of what it keeps, cleans them and stores them.",
    "Processor time is that of each process, not the wall's; requests, units, bodies and MB are the tenant's count.",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A made-up mailbox. Only of a `gated` one can a budget be missed; that the work was done whole is asked of all.

    `beside`: python-o365 reads the same mailbox of the same tenant, after the product.
    """

    name: str
    contacts: int = 100
    body_kb: int = 20
    gated: bool = False
    beside: bool = False
    messages: int = 5000
    folders: int = 8
    months: int = 6
    matching: float = 0.2

    @property
    def kept(self) -> int:
        """How many messages are with a contact."""
        return round(self.messages * self.matching)

    @property
    def floor(self) -> float:
        """Graph units that no reader can do without: pages of 1,000, a delta for each folder, a unit for each body
        that is kept, and the list of folders (1,014 for the gated workload)."""
        return self.messages / 1000 + self.folders + self.kept + 1

    def firm(self) -> list[str]:
        """The arguments of dev.tenant."""
        return [
            *("--day", datetime.now(UTC).date().isoformat(), "--synthetic", str(self.messages)),
            *("--folders", str(self.folders), "--months", str(self.months), "--matching", str(self.matching)),
            *("--contacts", str(self.contacts), "--body-kb", str(self.body_kb)),
        ]


WORKLOADS = (
    Workload("backfill-5k", gated=True, beside=True),
    Workload("backfill-5k-1000-contacts", contacts=1000),
    Workload("backfill-5k-60-kb", body_kb=60),
)


@dataclass(frozen=True, slots=True)
class Round:
    """What both programs printed, what the tenant counted while the product worked, and the rows that both left.

    `peers` is what each way of reading beside them printed, with what the tenant counted meanwhile.
    """

    product: Mapping[str, Any]
    bare: Mapping[str, Any]
    tenant: Mapping[str, int]
    rows: Mapping[str, Rows]
    bare_rows: Mapping[str, Rows]
    peers: Mapping[str, Mapping[str, Any]]


def measure(workload: Workload, repetitions: int, profile: str = "") -> tuple[list[Figure], list[str]]:
    """Figures of a workload, medians of so many rounds, and lines that show that both sides did the same."""
    firm = workload.firm()
    with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
        contacts = Path(folder) / "contacts.csv"
        contacts.write_text(printed("bench.contacts", firm), "utf-8")
        rounds = [_round(firm, contacts, profile, workload.beside) for _ in range(repetitions)]
    figures = [*_counted(workload, rounds), *_timed(workload, rounds), *_fair(workload, rounds)]
    peers, said = beside(workload, rounds) if workload.beside else ([], [])
    return [*figures, *peers], [*_same(workload, rounds[-1]), *said]


def _round(firm: Sequence[str], contacts: Path, profile: str, with_peers: bool) -> Round:
    with stage(firm) as on:
        before = on.counts()
        told = [*_product(on, contacts), *(("--profile", profile) if profile else ())]
        product = json.loads(printed("bench.product", told))
        tenant = _meanwhile(on, before)
        rows = counted(on.storage)
        peers = _peers(on) if with_peers and find_spec("O365") else {}
    with stage(firm) as on:
        # Contacts and mailbox as the product writes them, so that both sides begin with the same account.
        printed("bench.product", [*_product(on, contacts), "--prepare-only"])
        bare = json.loads(printed("bench.bare", [*on.arguments(), *_whose(), *_keys()]))
        return Round(product, bare, tenant, rows, counted(on.storage), peers)


def _peers(on: Stage) -> dict[str, Mapping[str, Any]]:
    found = {}
    oldest = datetime.now(UTC) - timedelta(days=30 * BACKFILL_MONTHS)
    told = [*on.signing_in(), "--mailbox", OWNER.address, "--since", oldest.isoformat()]
    for name, page in PEERS.items():
        before = on.counts()
        found[name] = {**json.loads(printed("bench.peer", [*told, *page])), "tenant": _meanwhile(on, before)}
    return found


def _meanwhile(on: Stage, before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in on.counts().items()}


def _product(on: Stage, contacts: Path) -> list[str]:
    return [*on.arguments(), *_whose(), "--contacts", str(contacts)]


def _whose() -> list[str]:
    return ["--mailbox", OWNER.address, "--domain", OWNER.address.rpartition("@")[2]]


def _keys() -> list[str]:
    return ["--digest-key", DIGEST_KEY, "--months", str(BACKFILL_MONTHS)]


# -- figures


def _counted(workload: Workload, rounds: Sequence[Round]) -> list[Figure]:
    """What is counted exactly; of several rounds the worst, because counts should not vary."""
    figure = partial(Figure, workload.name)
    seen = min(one.product["progress"]["seen"] for one in rounds)
    kept = min(one.product["progress"]["kept"] for one in rounds)
    units = max(one.tenant["units"] for one in rounds)
    calls = max(one.tenant["calls"] for one in rounds)
    ratio = units / workload.floor
    strangers = max(one.tenant["body_reads"] - one.product["progress"]["kept"] for one in rounds)
    disagreed = max(map(_disagreed, rounds))
    most = max((_by_service(one) for one in rounds), key=lambda parts: sum(parts.values()))
    parts = ", ".join(f"{name} {count:,}" for name, count in most.items())
    storage = sum(most.values()) / max(kept, 1)
    gated = workload.gated
    return [
        figure("messages seen", seen, f"{seen:,}", workload.messages, exact=True),
        figure("messages kept", kept, f"{kept:,}", workload.kept, exact=True),
        figure(
            "Graph units / floor", ratio, f"{ratio:.3f} ({units:,} / {workload.floor:,.0f})", 1.1 if gated else None
        ),
        figure("Graph calls", calls, f"{calls:,}"),
        figure("tenant's and our count apart", disagreed, f"{disagreed}", 0, exact=True),
        figure("storage requests / kept message", storage, f"{storage:.3f} ({parts})", 0.5 if gated else None),
        figure("bodies of unmatched messages read", strangers, f"{strangers}", 0, exact=True),
    ]


def _timed(workload: Workload, rounds: Sequence[Round]) -> list[Figure]:
    """What is measured: medians."""
    figure = partial(Figure, workload.name)
    cpu, bare = (median(one["cpu"] for one in side) / workload.messages * 1000 for side in _sides(rounds))
    ratios = [one.product["cpu"] / one.bare["cpu"] for one in rounds]
    ratio = median(ratios)
    spread = f", {min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else ""
    said = f"{ratio:.2f} ({cpu:.2f} / {bare:.2f} ms a message{spread})"
    peak, bare_peak = (median(one["peak"] for one in side) / MB for side in _sides(rounds))
    wall, bare_wall = (median(one["wall"] for one in side) for side in _sides(rounds))
    down = median(one.product["meter"]["graph_bytes"] for one in rounds) / MB
    up = median(map(_sent, rounds)) / MB
    gated = workload.gated
    return [
        figure("processor time / bare loop", ratio, said, 1.5 if gated else None),
        figure("peak memory, MB", peak, f"{peak:.0f} (bare loop {bare_peak:.0f})", 200 if gated else None),
        figure("wall seconds", wall, f"{wall:.1f} (bare loop {bare_wall:.1f})"),
        figure("MB from Graph", down, f"{down:.1f}"),
        figure("MB to storage", up, f"{up:.1f}"),
    ]


def _fair(workload: Workload, rounds: Sequence[Round]) -> list[Figure]:
    """Whether both sides wrote the same: a comparison of different work means nothing."""
    pairs = [apart(one.rows, one.bare_rows, COMPARED) for one in rounds]
    rows, size = (100 * max(pair[at] for pair in pairs) for at in (0, 1))
    return [
        Figure(workload.name, "rows apart from the bare loop's, %", rows, f"{rows:.2f}", 1),
        Figure(workload.name, "bytes apart from the bare loop's, %", size, f"{size:.2f}", 5),
    ]


def beside(workload: Workload, rounds: Sequence[Round]) -> tuple[list[Figure], list[str]]:
    """A line for each way python-o365 read the mailbox and one of ours, none with a gate; what to know about them."""
    if not rounds[0].peers:
        return [], ["python-o365 is not installed, so nothing stands beside ours; requirements/dev.txt names it."]
    sides = {name: [one.peers[name] for one in rounds] for name in PEERS}
    ours = [{**one.product, "seen": one.product["progress"]["seen"], "tenant": one.tenant} for one in rounds]
    return [_line(workload, name, side) for name, side in {**sides, "ours beside it": ours}.items()], [*READS_ONLY]


def _line(workload: Workload, name: str, side: Sequence[Mapping[str, Any]]) -> Figure:
    cpu = median(one["cpu"] / max(one["seen"], 1) * 1000 for one in side)
    wall, peak = median(one["wall"] for one in side), median(one["peak"] for one in side) / MB
    seen = min(one["seen"] for one in side)
    calls, units, bodies, down = (
        max(one["tenant"].get(name, 0) for one in side) for name in ("calls", "units", "body_reads", "bytes_out")
    )
    said = (
        f"{cpu:.2f}: {calls:,} requests, {units:,} units, {seen:,} messages, {bodies:,} bodies, {down / MB:.1f} MB, "
        f"peak {peak:.0f} MB, {wall:.1f} s of the wall"
    )
    return Figure(workload.name, f"{name}: processor ms a message", cpu, said)


def _same(workload: Workload, last: Round) -> list[str]:
    lines = [f"{workload.name}: rows and bytes by table, product and bare loop"]
    for table in sorted(last.rows):
        one, other = last.rows[table], last.bare_rows[table]
        lines.append(f"  {table:16} {one.count:7,} {other.count:7,} {one.size:13,} {other.size:13,}")
    return lines


def _sides(rounds: Sequence[Round]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    return [one.product for one in rounds], [one.bare for one in rounds]


def _by_service(one: Round) -> dict[str, int]:
    meter = one.product["meter"]
    # What the host would do for each message: receive it, delete it.
    return {
        "tables": meter.get("tables", 0),
        "queues": meter.get("queues", 0) + 2 * one.product["messages"],
        "blobs": meter.get("blobs", 0),
    }


def _sent(one: Round) -> int:
    return sum(int(one.product["meter"].get(f"{name}_bytes", 0)) for name in ("tables", "queues", "blobs"))


def _disagreed(one: Round) -> int:
    meter = one.product["meter"]
    units = abs(int(meter["graph_units"]) - one.tenant["units"])
    return units + abs(int(meter["graph_calls"]) - one.tenant["calls"])
