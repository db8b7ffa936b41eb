"""The demo's parts: the firm, the simulated Microsoft 365 as a process, and the demo's own view of the product."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dev.detour import DetourAdapter
from dev.firm import Client, Firm
from dev.mailaddress import usable
from dev.mailfiles import firm_of
from dev.report import NAMED, Counted, Line, notes, one_line
from dev.run_folder import DataFolder
from dev.sample import SAMPLE_CONTACTS, sample_firm
from sync import mailboxes, storage, wiring
from sync.crm.mails import TIMELINE
from sync.errors import BadItem
from sync.keys import fold
from sync.meter import Meter
from sync.progress import progress
from sync.settings import load

ROOT = Path(__file__).parent.parent
SECONDS_TO_LOAD = 300
SECONDS_TO_STOP = 5
NEWEST = 6
SAMPLED = 20
TROUBLED = ("blocked", "failing")


class NotStarted(Exception):
    """A part of the demo did not start; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose mail the demo shows: the sample firm, or the user's own files."""

    path: Path | None
    owner: str = ""

    def check(self) -> None:
        """Refuse what can be seen to be wrong before anything is made or started."""
        if self.path is not None and not self.path.exists():
            raise NotStarted(f"DATA: there is no folder and no file {self.path}.")
        if self.owner and not usable(self.owner):
            raise NotStarted(f"OWNER: {self.owner!r} is not a mail address.")

    def firm(self, folder: DataFolder) -> Firm:
        """The firm, without its mail: that is the tenant's. Raises NotStarted where there is no mail at all."""
        owner = self.owner or folder.settled.owner
        firm = sample_firm(folder.day) if self.path is None else firm_of(self.path, owner)
        log = logging.getLogger("dev.run")
        for one in firm.broken:
            log.info("broken file %s: %s", one_line(one.name), one.why)
        for address in firm.unknown:
            log.info("left out of the contacts: %s", one_line(address))
        if not any(box.mail for box in firm.mailboxes):
            broken = notes("broken", [f"{one.name}: {one.why}" for one in firm.broken], NAMED)
            raise NotStarted("\n".join([f"DATA: no mail was found in {self.path}.", *broken]))
        return replace(firm, mailboxes=tuple(replace(box, mail=()) for box in firm.mailboxes))

    def arguments(self, folder: DataFolder) -> list[str]:
        """How the tenant is told to load the same."""
        if self.path is None:
            return ["--firm", "sample"]
        owner = self.owner or folder.settled.owner
        return ["--mail", str(self.path), *(["--owner", owner] if owner else [])]


class TenantProcess:
    """The simulated Microsoft 365. It ends when this process does, however that ends."""

    def __init__(self, folder: DataFolder, source: Source) -> None:
        self._log = (folder.path / "tenant.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dev.tenant", "--port", "0", "--day", folder.settled.day),
                *(*source.arguments(folder), "--end-with-stdin"),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            process_group=0,  # Ctrl-C is for us: the tenant goes after the functions that talk to it
        )

    def ready(self, stop: threading.Event) -> Mapping[str, Any] | None:
        """Port, tenant_id, client_id and client_secret once the mail is loaded; None when `stop` came first."""
        answer: list[str] = []
        output = self._process.stdout
        reader = threading.Thread(target=lambda: answer.append(output.readline() if output else ""), daemon=True)
        reader.start()
        end = time.monotonic() + SECONDS_TO_LOAD
        while reader.is_alive() and time.monotonic() < end:
            reader.join(0.1)
            if stop.is_set():
                return None
        if not answer or not answer[0].startswith("{"):
            raise NotStarted(f"The simulated Microsoft 365 did not start: see {self._log.name}.")
        found: Mapping[str, Any] = json.loads(answer[0])
        return found

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it by its standard input, then by signals."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        for end in (lambda: None, self._process.terminate, self._process.kill):
            end()
            try:
                self._process.wait(SECONDS_TO_STOP)
                break
            except subprocess.TimeoutExpired:
                continue
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


def settings_for(folder: DataFolder, firm: Firm, ready: Mapping[str, Any], connection: str) -> dict[str, str]:
    """The app settings of the demo."""
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHON_THREADPOOL_THREAD_COUNT": "16",
        "AzureWebJobsStorage": connection,
        "SYNC_TICK": "*/5 * * * * *",
        "ACCORD_TENANT_ID": ready["tenant_id"],
        "ACCORD_CLIENT_ID": ready["client_id"],
        "ACCORD_CLIENT_SECRET": ready["client_secret"],
        "ACCORD_API_KEY": folder.settled.api_key,
        "ACCORD_DIGEST_KEY": folder.settled.digest_key,
        "ACCORD_INTERNAL_DOMAINS": ",".join(firm.domains),
        "ACCORD_BACKFILL_MONTHS": "0" if firm.since == "all" else "6",
    }


class View:
    """The demo's own access to state and CRM, so that its looking is not counted as the product's work."""

    def __init__(self, settings: Mapping[str, str], tenant_port: int) -> None:
        self._connection = settings["AzureWebJobsStorage"]
        self._tenant = settings["ACCORD_TENANT_ID"]
        self._site = wiring.build(load(settings), lambda: DetourAdapter(tenant_port))

    def close(self) -> None:
        """Let go of connections."""
        self._site.close()

    def load(self, firm: Firm, folder: DataFolder) -> list[str]:
        """Mailboxes, users and contacts into the product, once; returns a sentence for each contact left out."""
        crm, state = self._site.crm, self._site.world.state
        for box in firm.mailboxes:
            try:
                user = crm.add_user(box.name, [box.address, *box.aliases])
            except BadItem as bad:
                raise NotStarted(f"The mailbox {box.address!r} cannot be used: {bad.sentence}") from None
            state.add_mailbox(self._tenant, box.address, user)
        text = contacts_csv(firm.contacts) if firm.since == "all" else SAMPLE_CONTACTS.read_text("utf-8")
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        errors: list[str] = []
        if firm.contacts and (digest != folder.settled.contacts or not self._knows(firm.contacts)):
            errors = [_left_out(firm, line, sentence) for line, sentence in crm.import_contacts(text).errors]
        folder.settle(owner=firm.mailboxes[0].address if firm.mailboxes else "", contacts=digest)
        return errors

    def _knows(self, contacts: Sequence[Client]) -> bool:
        """Whether the CRM still has what an earlier start imported: its storage may have ended before it wrote."""
        crm = self._site.crm
        return bool(crm.contacts(1)[0] and crm.people({fold(one.addresses[0]) for one in contacts[:SAMPLED]}))

    def ask_all(self) -> None:
        """Want the newest mail of every mailbox, as a notification from Microsoft would."""
        for row in self._site.world.state.mailboxes():
            if row.backfill == "done":
                self._site.world.state.wants.want(row.id, "mail")

    def counted(self) -> Counted:
        """The counts of all mailboxes together."""
        rows = list(self._site.world.state.mailboxes())
        counts: Counter[str] = Counter()
        skipped: Counter[str] = Counter()
        percents: list[int | None] = []
        for row in rows:
            found = progress(self._site.world, row)
            counts.update({name: found[name] for name in ("seen", "kept", "bodies")})
            skipped.update(found["skipped"])
            percents.append(found["percent"])
        known = [percent for percent in percents if percent is not None]
        percent = sum(known) // len(percents) if known else None
        return Counted(len(rows), counts["seen"], counts["kept"], counts["bodies"], dict(skipped), percent)

    def settled(self) -> bool:
        """Whether every mailbox is complete, or in trouble it does not leave by itself."""
        state = self._site.world.state
        wanted = {want.mailbox for want in state.wants.all() if want.open}
        return all(
            (row.trouble and row.trouble.status in TROUBLED) or (row.backfill == "done" and row.id not in wanted)
            for row in state.mailboxes()
        )

    def cut_off(self) -> int:
        """For how many seconds a run that was killed still holds a mailbox that is wanted; 0 where none does.

        Only meant for a quiet host: then nobody works under a lease that has not ended.
        """
        world = self._site.world
        ends = [world.state.leased_until(want.mailbox, want.stream) for want in world.state.wants.all() if want.open]
        return max(0, *(int((end - world.clock()).total_seconds()) for end in ends if end), 0)

    def errors_since(self, moment: Any) -> list[str]:
        """A sentence for every run with errors since a moment, and for every mailbox in trouble."""
        world = self._site.world
        names = {row.id: row.address for row in world.state.mailboxes()}
        found = []
        for run in world.log.runs(10_000)[0]:
            if run.started >= moment and (run.errors or run.stream.endswith("-poison") or run.reason == "poisoned"):
                items = [item.reason for item in world.log.items(run.id)[0] if item.outcome == "error"]
                why = run.sentence or next(iter(items), "an item could not be read.")
                found.append(f"{names.get(run.mailbox, run.mailbox)}: {why}")
        for one in mailboxes.all_standings(world):
            why = one.status
            if why.status in TROUBLED:
                found.append(f"{one.row.address}: {why.title}. {why.sentence} {why.remedy}".strip())
        return list(dict.fromkeys(found))

    def busiest(self) -> tuple[str, str, list[Line], int] | None:
        """The contact with the longest timeline: (key, name, newest lines, length); None while there is none."""
        stored = storage.open_storage(self._connection, Meter())
        try:
            longest, length = longest_timelines(row.key for row in stored.tables.scan(TIMELINE, select=("type",)))
        finally:
            stored.close()
        if not longest:
            return None
        names = {key: self._name(key) for key in longest}
        key = min(names, key=lambda one: (names[one], one))
        entries, _ = self._site.crm.timeline(key, NEWEST)
        lines = [
            Line(
                f"{entry.time:%Y-%m-%d %H:%M}" if entry.time else "",
                entry.author.name or entry.author.address,
                entry.subject or "(no subject)",
            )
            for entry in entries
        ]
        return key, names[key], lines, length

    def _name(self, key: str) -> str:
        contact = self._site.crm.contact(key)
        return contact.name or contact.addresses[0] if contact else key


def longest_timelines(keys: Iterable[str]) -> tuple[list[str], int]:
    """The contacts with most rows of the timeline table, of equals those with the newest mail, and how many rows."""
    lengths: Counter[str] = Counter()
    newest: dict[str, str] = {}
    for key in keys:
        person, inverted, _ = key.split("|", 2)
        if person.startswith("c"):
            lengths[person] += 1
            newest[person] = min(inverted, newest.get(person, inverted))
    best = min(((-lengths[one], newest[one]) for one in lengths), default=(0, ""))
    return [one for one in lengths if (-lengths[one], newest[one]) == best], -best[0]


def _left_out(firm: Firm, line: int, sentence: str) -> str:
    if firm.since != "all":
        file = SAMPLE_CONTACTS.relative_to(ROOT).as_posix()
        return f"{file}, line {line}: {sentence} (Left in on purpose, to show it.)"
    # The file was made of the contacts, one in a line, below its head.
    return f"contact {one_line(firm.contacts[line - 2].addresses[0])}: {sentence}"


def contacts_csv(contacts: Iterable[Client]) -> str:
    """Contacts as a CSV file such as address books export."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["Name", "Email"])
    for contact in contacts:
        writer.writerow([one_line(contact.name), ";".join(contact.addresses)])
    return text.getvalue()
