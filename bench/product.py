"""The product at work, in a process of its own: the jobs of the functions, from the first tick to the last delta.

Prints one line of JSON. The host is not part of what is measured: ticks come when the queues are empty, and each
message is received, worked and deleted here. `messages` says how many; empty receives are not counted.
"""

from __future__ import annotations

import argparse
import base64
import cProfile
import json
import os
import time
from pathlib import Path
from typing import Any

from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from bench.usage import clocks, peak_bytes, since
from dev.detour import DetourAdapter
from sync import capture, fanout, history, jobs, storage, wiring
from sync.jobs import Do
from sync.model import MailboxRow
from sync.progress import progress
from sync.settings import load
from sync.state import State
from sync.world import World

# Both sides of a comparison make the same keys, so their rows lie in the same partitions.
DIGEST_KEY = base64.b64encode(b"the keys of the benchmark").decode()
# The made-up mail spans 180 days that end yesterday at noon; a backfill of six months might be hours too short for it.
BACKFILL_MONTHS = 7
DEADLINE = 600.0
WORKERS: dict[str, Do] = {
    "sync-mail": capture.live,
    "backfill-mail": capture.backfill,
    "history-mail": history.history,
}


def main() -> None:
    """Prepare the account; unless told to stop there, work until all is done, and print what it took."""
    told = _told()
    set_environment(told)
    wiring.install(lambda: DetourAdapter(told.port))
    storage.prepare(told.storage)
    site = wiring.site()
    report = site.crm.import_contacts(Path(told.contacts).read_text("utf-8"))
    row = site.world.state.add_mailbox(told.tenant_id, told.mailbox)
    result: dict[str, Any] = {"contacts": report.imported}
    if not told.prepare_only:
        profile = cProfile.Profile() if told.profile else None
        result |= _measured(site.world, row, _queues(told.storage), profile)
        if profile is not None:
            profile.dump_stats(told.profile)
    wiring.reset()
    print(json.dumps(result))


def arguments(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser of what every process of the benchmark is told: where tenant and storage are, and who asks."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--port", type=int, required=True, help="of the tenant")
    parser.add_argument("--storage", required=True, help="connection string")
    parser.add_argument("--tenant-id", required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--client-secret", required=True)
    parser.add_argument("--domain", required=True, help="of the firm")
    return parser


def _told() -> argparse.Namespace:
    parser = arguments("bench.product", __doc__)
    parser.add_argument("--contacts", required=True, help="CSV file")
    parser.add_argument("--mailbox", required=True, help="address")
    parser.add_argument("--prepare-only", action="store_true")
    parser.add_argument("--profile", default="", help="write the profile of the measured part into this file")
    return parser.parse_args()


def set_environment(told: argparse.Namespace) -> None:
    """The settings of a deployment, for the stage that a program was told to work on."""
    os.environ.update(
        {
            "AzureWebJobsStorage": told.storage,
            "SYNC_TICK": "0 * * * * *",
            "ACCORD_TENANT_ID": told.tenant_id,
            "ACCORD_CLIENT_ID": told.client_id,
            "ACCORD_CLIENT_SECRET": told.client_secret,
            "ACCORD_API_KEY": "the-key-of-the-benchmark",
            "ACCORD_DIGEST_KEY": DIGEST_KEY,
            "ACCORD_INTERNAL_DOMAINS": told.domain,
            "ACCORD_BACKFILL_MONTHS": str(BACKFILL_MONTHS),
        }
    )


def _queues(connection: str) -> dict[str, QueueClient]:
    return {
        name: QueueClient.from_connection_string(connection, name, message_decode_policy=TextBase64DecodePolicy())
        for name in WORKERS
    }


def _measured(
    world: World, row: MailboxRow, queues: dict[str, QueueClient], profile: cProfile.Profile | None
) -> dict[str, Any]:
    watching = wiring.build(load())  # looks whether all is done, and counts apart
    before = world.meter.counts()
    start = clocks()
    if profile is not None:
        profile.enable()
    ticks, messages = _drained(world, watching.world.state, row, queues)
    if profile is not None:
        profile.disable()
    took = since(start)
    meter = {name: count - before.get(name, 0) for name, count in world.meter.counts().items()}
    peak = peak_bytes()
    reached = progress(watching.world, row)
    watching.close()
    for queue in queues.values():
        queue.close()
    return {
        **took,
        "peak": peak,
        "ticks": ticks,
        "messages": messages,
        "meter": meter,
        "progress": reached,
    }


def _drained(world: World, watched: State, row: MailboxRow, queues: dict[str, QueueClient]) -> tuple[int, int]:
    """Tick and work until the backfill and one delta round after it are done; how many ticks and messages it took."""
    ticks = messages = 0
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        fanout.tick(world)
        ticks += 1
        while worked := sum(_one(world, name, queue) for name, queue in queues.items()):
            messages += worked
        if _done(watched, row):
            return ticks, messages
    raise RuntimeError(f"The backfill was not done after {DEADLINE:.0f} seconds.")


def _one(world: World, name: str, queue: QueueClient) -> int:
    message = queue.receive_message(visibility_timeout=int(DEADLINE))
    if message is None:
        return 0
    jobs.work(world, name, message.content, WORKERS[name])
    queue.delete_message(message)
    return 1


def _done(state: State, row: MailboxRow) -> bool:
    # Asked when the queues are empty, so that what is wanted and not served is all there is to know.
    now = state.mailbox(row.id)
    return now is not None and now.backfill == "done" and not any(want.open for want in state.wants.all())


if __name__ == "__main__":
    main()
