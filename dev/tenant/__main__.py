"""The tenant as a process of its own: load, serve on 127.0.0.1, print one line of JSON when ready, run until told."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

from dev.firm import Firm
from dev.tenant.server import serve
from dev.tenant.state import Tenant
from dev.tenant.switches import Switches
from dev.tenant.synthetic import quiet_firm, synthetic_firm


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM, SIGINT, POST /_tenant/stop or, if asked for, the end of standard input."""
    options = _options(arguments)
    tenant = Tenant(options.day, lambda: datetime.now(UTC), Switches(concurrency=options.concurrency))
    for firm in _firms(options):
        tenant.load(firm)
    server = serve(tenant, options.port, options.latency_ms)
    wake = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wake.set())
    if options.end_with_stdin:
        threading.Thread(target=_until_stdin_ends, args=(wake,), daemon=True).start()
    ready = {
        "port": server.port,
        "tenant_id": tenant.tenant_id,
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    print(json.dumps(ready), flush=True)
    # A wait without end would not be interrupted by a signal on every system.
    while not wake.wait(0.2) and not server.stopping.is_set():
        pass
    server.stop()
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dev.tenant", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument(
        "--day", type=date.fromisoformat, required=True, help="the day that ids and sample dates start from"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--firm", choices=["sample"], help="load the sample firm")
    source.add_argument("--mail", type=Path, help="load a folder of .eml files, or an mbox file, as one mailbox")
    source.add_argument("--quiet", type=int, metavar="N", help="load N mailboxes with a message in each folder")
    source.add_argument("--synthetic", type=int, metavar="N", help="load N made-up messages")
    parser.add_argument("--owner", default="", help="whose mail --mail is; the most frequent recipient by default")
    parser.add_argument("--folders", type=int, default=8)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--matching", type=float, default=0.2)
    parser.add_argument("--contacts", type=int, default=100)
    parser.add_argument("--body-kb", type=float, default=20)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--concurrency", choices=["mailbox", "app"], help="refuse more than four requests at once")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    if options.owner and not options.mail:
        parser.error("--owner says whose mail --mail is; without --mail it means nothing.")
    return options


def _firms(options: argparse.Namespace) -> list[Firm]:
    if options.firm:
        from dev.sample import sample_firm

        return [sample_firm(options.day)]
    if options.mail:
        from dev.mailfiles import firm_of

        return [firm_of(options.mail, options.owner)]
    if options.quiet:
        return [quiet_firm(options.day, options.quiet, options.folders)]
    if options.synthetic:
        shape = (options.folders, options.months, options.matching, options.contacts, options.body_kb)
        return [synthetic_firm(options.day, options.synthetic, *shape)]
    return []


def _until_stdin_ends(wake: threading.Event) -> None:
    # os.read: a thread inside sys.stdin would hold its lock when the interpreter ends.
    while os.read(0, 4096):
        pass
    wake.set()


if __name__ == "__main__":
    sys.exit(main())
