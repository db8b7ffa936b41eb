"""`make run`: everything on this machine. Storage, a simulated Microsoft 365 with real mail, the functions, the CRM.

    make run                    the sample firm, until Ctrl-C
    make run ONCE=1             ends after the first sync: 0, or 1 if a run had errors or ten minutes passed (through
                                make every status but 0 is 2)
    make run DATA=path          your own mail: a folder (any depth) or an mbox; nothing leaves this machine
    make run DATA=path OWNER=address    whose mail it is, where the most frequent recipient is the wrong one

Data stays in .data/, one folder for each DATA, so that a second start goes on and shows nothing new. Ctrl-C, SIGTERM
and the end of standard input (not with ONCE=1) stop everything that was started.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
import time

if __name__ == "__main__":
    # Until main() is reached Ctrl-C has nothing to stop, and ends without a traceback out of the imports below.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dev import report
from dev.azurite import Azurite
from dev.detour import DetourAdapter
from dev.firm import Firm
from dev.host import Host, HostError
from dev.run_folder import DATA, DataFolder, InUse, folder_for, inventory
from dev.run_parts import ROOT, NotStarted, Source, TenantProcess, View, settings_for
from dev.stopping import stop_by
from sync import storage, wiring
from sync.errors import AccordError, BadItem

PATIENCE = 600.0
LOOK = 0.5
ACCOUNT = "accord"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants."""

    source: Source
    once: bool


@dataclass(frozen=True, slots=True)
class Running:
    """Everything that was started."""

    folder: DataFolder
    firm: Firm
    tenant: TenantProcess
    host: Host
    view: View
    begun: float
    started: datetime


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # Names in mail are in every script; a narrow locale shows a question mark instead of stopping.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        "python -m dev.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, default=DATA, help="where the data folders are (.data)")
    base: Path = parser.parse_args(arguments).base
    stop = stop_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    asked = read_environment(os.environ)
    # In the background of a shell, reading its terminal would stop this process instead of failing.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    if not asked.once:
        threading.Thread(target=_until_stdin_ends, args=(stop,), daemon=True).start()
    try:
        with ExitStack() as stack:
            status = _run(asked, base, stop, stack)
            if stop.is_set() and sys.stdout.isatty():
                print("\nStopping; what runs may finish, for ten seconds at most.", flush=True)
            return status
    except BrokenPipeError:
        # Nobody reads any more (`make run | head`): what is left to write has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InUse, NotStarted, HostError, AccordError, RuntimeError) as wrong:
        print(_sentence(wrong), file=sys.stderr)
        return 1


def read_environment(environment: Mapping[str, str]) -> Asked:
    """DATA, OWNER and ONCE, as make hands them over."""
    data, owner = environment.get("DATA", "").strip(), environment.get("OWNER", "").strip()
    if owner and not data:
        print("OWNER is not used: it says whose mail DATA is, and DATA is not set.")
    source = Source(Path(data).expanduser() if data else None, owner if data else "")
    return Asked(source, environment.get("ONCE", "").strip() not in ("", "0"))


def _run(asked: Asked, base: Path, stop: threading.Event, stack: ExitStack) -> int:
    running = _start(asked, base, stop, stack)
    if running is None:
        return 0
    before = running.view.counted()
    running.view.ask_all()
    complete = _first_sync(running, asked, stop, before)
    if complete is None:
        return 0
    well = _tell(running, before, complete, asked.once)
    if asked.once:
        return 0 if well else 1
    print("\nCtrl-C stops everything.", flush=True)
    while not stop.wait(1):
        _check(running)
    return 0


def _start(asked: Asked, base: Path, stop: threading.Event, stack: ExitStack) -> Running | None:
    """Start one part after the other, each with its end on the stack; None when `stop` came first."""
    source = asked.source
    source.check()
    if stop.is_set():
        return None
    folder = DataFolder(folder_for(source.path, source.owner, base))
    stack.callback(folder.close)
    _log_to(folder.path / "log.txt")
    print(f"Accord on {source.path or 'the sample firm'}; its data is in {_short(folder.path)}", flush=True)
    tenant = TenantProcess(folder, source)
    stack.callback(tenant.stop)
    connection = _storage(folder, stack)
    firm = source.firm(folder)
    _introduce(firm, asked)
    mail = inventory(source.path) if source.path is not None else ""
    if folder.settled.mail not in ("", mail):
        print(f"  {_changed(source.path, folder)}", flush=True)
    ready = tenant.ready(stop)
    if ready is None or stop.is_set():
        return None
    settings = settings_for(folder, firm, ready, connection)
    storage.prepare(connection)
    view = View({**os.environ, **settings}, ready["port"])
    stack.callback(view.close)
    for sentence in view.load(firm, folder):
        print(f"  {sentence}")
    if not folder.settled.mail:
        folder.settle(mail=mail)
    wiring.install(lambda: DetourAdapter(ready["port"]))
    stack.callback(wiring.install, None)
    # A message that a killed start held shows again after `hold`: a minute here, ten on Azure.
    host = Host(ROOT, settings, connection, folder.port(), poll_cap=0.3, hold=60)
    host.start()
    stack.callback(host.stop)
    return Running(folder, firm, tenant, host, view, time.monotonic(), datetime.now(UTC))


def _storage(folder: DataFolder, stack: ExitStack) -> str:
    folder.wait_for_storage()
    (folder.path / "storage").mkdir(exist_ok=True)
    azurite = Azurite(folder.path / "storage", [(ACCOUNT, folder.settled.storage_key)])
    folder.note_storage(azurite.pid)
    stack.callback(folder.note_storage, None)
    stack.callback(azurite.stop)
    return azurite.connection_string()


def _changed(path: Path | None, folder: DataFolder) -> str:
    return (
        f"The files at {path} are not those that were loaded, and what changed is not captured: "
        f"remove {_short(folder.path)} to load it again."
    )


def _introduce(firm: Firm, asked: Asked) -> None:
    contacts = report.amount(len(firm.contacts), "contact")
    if asked.source.path is None:
        print(f"{firm.name}: {', '.join(box.address for box in firm.mailboxes)}; {contacts}")
    else:
        box = firm.mailboxes[0]
        chosen = "as OWNER says" if asked.source.owner else "the most frequent recipient; OWNER=address overrides"
        print(f"Mailbox of {report.one_line(box.address)} ({chosen}); {contacts}")
    sys.stdout.flush()


def _first_sync(running: Running, asked: Asked, stop: threading.Event, before: report.Counted) -> bool | None:
    """Wait until every mailbox is complete. False when ten minutes passed (with ONCE), None when `stop` came first."""
    progress = report.Progress()
    try:
        while not stop.is_set():
            seconds = time.monotonic() - running.begun
            now = running.view.counted()
            quiet = running.host.quiet()
            progress.show(now, now.kept - before.kept, seconds, running.view.cut_off() if quiet else 0)
            if quiet and running.view.settled():
                return True
            if asked.once and seconds > PATIENCE:
                return False
            _check(running)
            stop.wait(LOOK)
        return None
    finally:
        progress.end()


def _check(running: Running) -> None:
    if not running.tenant.alive():
        raise NotStarted(f"The simulated Microsoft 365 ended by itself: see {running.folder.path / 'tenant.log'}.")


def _tell(running: Running, before: report.Counted, complete: bool, once: bool) -> bool:
    """Print the result; says whether all went well."""
    effort = _effort(running)
    now = running.view.counted()
    errors = running.view.errors_since(running.started)
    failed = [f"the function {name} failed: {text}" for name, text in running.host.failures]
    print(f"\n{report.table(before, now, effort, errors, failed, running.firm.broken)}")
    busiest = running.view.busiest()
    if busiest is not None:
        _, name, lines, total = busiest
        print(f"\n{report.timeline(name, lines, total)}")
    if running.firm.unknown:
        print(f"\n{report.left_unknown(running.firm.unknown)}")
    if once:
        print("\nWithout ONCE=1 it stays up, and the addresses to look at stand here.", flush=True)
    else:
        person = busiest[0] if busiest is not None else ""
        print(f"\n{report.addresses(running.host.port, running.folder.settled.api_key, person)}")
        python = _short(Path(sys.executable))
        print(f"\n{report.command_line(running.host.port, running.folder.settled.api_key, python)}", flush=True)
    if not complete:
        print("\nTen minutes passed before the first sync was complete.", flush=True)
    return complete and not errors and not failed


def _effort(running: Running) -> report.Effort:
    counts = wiring.world().meter.counts()
    return report.Effort(
        seconds=time.monotonic() - running.begun,
        graph_calls=counts.get("graph_calls", 0),
        graph_units=counts.get("graph_units", 0),
        tables=counts.get("tables", 0),
        queues=counts.get("queues", 0),
        blobs=counts.get("blobs", 0),
        host_queues=running.host.counts().host_queue_requests,
    )


def _log_to(path: Path) -> None:
    logging.basicConfig(
        filename=path,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
    for noisy in ("azure", "urllib3", "msal"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _sentence(wrong: Exception) -> str:
    if isinstance(wrong, BadItem):
        return f"{wrong.name}: {wrong.sentence}"
    return wrong.sentence if isinstance(wrong, AccordError) else str(wrong)


def _until_stdin_ends(stop: threading.Event) -> None:
    # os.read: a thread inside sys.stdin.read() would hold its lock when the interpreter ends.
    try:
        while os.read(0, 65_536):
            continue
    except OSError:
        # In the background of a terminal nothing can be read; a closed descriptor has no end either.
        return
    stop.set()


def _end(status: int) -> None:
    """Leave, even where a function still runs in a thread that nobody can end."""
    sys.stdout.flush()
    sys.stderr.flush()
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    if others:
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _end(main())
