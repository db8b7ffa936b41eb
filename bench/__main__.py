"""`make bench`: the figures of docs/performance.md as a table and JSON. Exits 1 where a gate is missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import backfill, cold, fanout, idle, imports, logs, lookups
from bench.figures import Figure, as_json, as_markdown, as_table, missed
from bench.stage import ROOT

RESULT = ROOT / ".data" / "bench.json"
PACKAGES = ("azure-data-tables", "azure-core", "requests", "urllib3", "orjson", "nh3", "selectolax", "msal", "pydantic")
Measure = Callable[[], tuple[list[Figure], list[str]]]


def main() -> int:
    """Measure what is asked for, print and write it; 0 where every gate is met."""
    told = _told()
    # Told to stop, end what was started: the finally clauses of the stage do it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures: list[Figure] = []
    notes: list[str] = []
    for name, measure in _measures(told).items():
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found, said = measure()
        figures += found
        notes += said
    machine = _machine()
    result = {"machine": machine, "when": datetime.now(UTC).isoformat(timespec="seconds"), "figures": as_json(figures)}
    text = json.dumps(result, indent=2)
    if not told.profile:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text + "\n", "utf-8")
    print(as_table(figures), "", *notes, "", text, sep="\n")
    if told.markdown:
        print("", as_markdown(figures, machine), sep="\n")
    for one in missed(figures):
        print(f"MISSED: {one.workload}: {one.name} is {one.said}, the gate is {one.gate}", file=sys.stderr)
    return 1 if missed(figures) else 0


def _told() -> argparse.Namespace:
    names = [one.name for one in backfill.WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition instead of the median of three")
    parser.add_argument(
        "--only",
        action="append",
        choices=[
            *names,
            "cold",
            *lookups.MEASURES,
            *idle.MEASURES,
            *fanout.MEASURES,
            *imports.MEASURES,
            *logs.MEASURES,
        ],
        help="measure this; may be repeated",
    )
    parser.add_argument("--markdown", action="store_true", help="print a block for docs/performance.md too")
    parser.add_argument(
        "--profile", default="", metavar="FILE", help="profile the product; times then say nothing, and are not held"
    )
    return parser.parse_args()


def _measures(told: argparse.Namespace) -> dict[str, Measure]:
    repetitions = 1 if told.quick else 3
    profile = str(Path(told.profile).resolve()) if told.profile else ""

    def of(workload: backfill.Workload) -> Measure:
        held = replace(workload, gated=False, beside=False) if profile else workload
        return lambda: backfill.measure(held, repetitions, profile)

    measures = {one.name: of(one) for one in backfill.WORKLOADS} | {"cold": lambda: (cold.measure(), [])}
    measures |= lookups.MEASURES | idle.MEASURES | fanout.MEASURES | imports.MEASURES | logs.MEASURES
    return {name: measure for name, measure in measures.items() if not told.only or name in told.only}


def _machine() -> list[str]:
    """What times depend on, in words."""
    node = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout.strip()  # noqa: S607 - the node that make found
    azurite = json.loads((ROOT / "dev/node_modules/azurite/package.json").read_text("utf-8"))["version"]
    return [
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        f"Python {platform.python_version()}",
        f"Node {node.removeprefix('v')}",
        f"Azurite {azurite} in memory",
        ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
