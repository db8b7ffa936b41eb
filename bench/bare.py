"""The bare loop: the work of the product, written straight down. Nothing of `sync` is imported; there is no class.

What it leaves out is what makes a product: no retry, no error that is understood, no lease taken from others, no look
at what is there already. What it does is the same, or the ratio would be worth nothing: light fields first, a lookup
per address, bodies of what is kept 20 to a batch, clean HTML and text, the same rows in the same groups (`bare_rows`).
Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import nh3
import orjson
import urllib3
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy
from selectolax.lexbor import LexborHTMLParser

from bench.bare_rows import log, save, store
from bench.usage import clocks, peak_bytes, since

Json = dict[str, Any]

LIGHT = (
    "id,internetMessageId,conversationId,subject,from,sender,toRecipients,ccRecipients,bccRecipients,"
    "sentDateTime,receivedDateTime,parentFolderId,isDraft,hasAttachments,lastModifiedDateTime"
)
LEFT_OUT = (
    *("drafts", "outbox", "junkemail", "deleteditems", "recoverableitemsdeletions", "conversationhistory"),
    *("conflicts", "localfailures", "serverfailures", "syncissues", "searchfolders"),
)
SCHEMES = {"http", "https", "mailto"}
HELD = 8 * 1024 * 1024


def main() -> None:
    """Do the work against an account that was prepared, and print what it took."""
    told = _told()
    account = TableServiceClient.from_connection_string(
        told.storage, transport=RequestsTransport(use_env_settings=False)
    )
    tables = {one.name: account.get_table_client(one.name) for one in account.list_tables()}
    files = BlobServiceClient.from_connection_string(
        told.storage, transport=RequestsTransport(use_env_settings=False)
    ).get_container_client("accord")
    queue = QueueClient.from_connection_string(
        told.storage, "backfill-mail", message_encode_policy=TextBase64EncodePolicy()
    )
    pool = urllib3.HTTPConnectionPool("127.0.0.1", told.port, maxsize=1)
    start = clocks()
    seen, kept = work(told, tables, files, queue, pool)
    took = since(start)
    print(json.dumps({**took, "peak": peak_bytes(), "seen": seen, "kept": kept}))
    for one in (account, files, queue, pool):
        one.close()


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the tenant")
    parser.add_argument("--storage", required=True, help="connection string")
    parser.add_argument("--tenant-id", required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--client-secret", required=True)
    parser.add_argument("--mailbox", required=True, help="address")
    parser.add_argument("--domain", required=True, help="of the firm")
    parser.add_argument("--digest-key", required=True, help="base64")
    parser.add_argument("--months", type=int, required=True, help="how far the backfill goes back, 30 days each")
    return parser.parse_args()


def work(told: argparse.Namespace, tables: Json, files: Any, queue: Any, pool: Any) -> tuple[int, int]:
    """Open the deltas, then read page after page, newest first; how many messages were seen and kept."""
    digest = digests(base64.b64decode(told.digest_key))
    ask = graph(pool, told)
    now = datetime.now(UTC)
    mailbox = digest("mailbox", told.tenant_id, told.mailbox)
    contacts = {row["address"]: (row["RowKey"][33:], row["name"]) for row in tables["CrmAddresses"].list_entities()}
    user = ask("GET", f"/v1.0/users/{quote(told.mailbox, safe='@')}?$select=id,mail,userPrincipalName,proxyAddresses")
    own = {one[5:].lower() for one in user["proxyAddresses"]} | {user["mail"].lower(), told.mailbox}
    skipped = open_folders(ask, user["id"], now, tables["AccordState"], mailbox, digest)
    counters = {b: tables["CrmRecords"].get_entity(b, "c") for b in "0123456789abcdef"}
    since_when = f"{now - timedelta(days=30 * told.months):%Y-%m-%dT%H:%M:%SZ}"
    until, edge = f"{now - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}", set[str]()
    seen = kept = number = 0
    more = True
    while more:
        number += 1
        started = datetime.now(UTC)
        page = older(ask, user["id"], since_when, until)
        messages = [one for one in page["value"] if one["id"] not in edge]
        concerned, reasons = decide(messages, contacts, own, told.domain, skipped)
        items: list[Json] = []
        for some in filled(ask, user["id"], concerned):
            items += store(some, tables, files, counters, mailbox, digest)
        run = digest("run", mailbox, "mail-backfill", str(number))
        log(tables, run, mailbox, told.tenant_id, started, len(messages), items, reasons)
        seen, kept = seen + len(messages), kept + len(items)
        more = "@odata.nextLink" in page
        if more:
            until = page["value"][-1]["receivedDateTime"]
            edge = {one["id"] for one in page["value"] if one["receivedDateTime"] == until}
        cursor = {"until": until, "edge": [digest("edge", one) for one in edge], "seen": seen, "kept": kept}
        save(tables["AccordState"], mailbox, "mail-backfill", number, cursor)
        if more:
            job = {"version": 1, "connection": told.tenant_id, "kind": "mail", "subjects": [mailbox]}
            queue.send_message(json.dumps(job))
    return seen, kept


def older(ask: Callable[..., Json], user: str, since_when: str, until: str) -> Json:
    """A page of light fields of all folders, newest first."""
    bounds = f"receivedDateTime%20ge%20{since_when}%20and%20receivedDateTime%20le%20{until}"
    query = f"$select={LIGHT}&$filter={bounds}&$orderby=receivedDateTime%20desc&$top=1000"
    return ask("GET", f"/v1.0/users/{user}/messages?{query}")


def digests(secret: bytes) -> Callable[..., str]:
    """Row keys: keyed BLAKE2b over parts with their lengths."""

    def digest(purpose: str, *parts: str) -> str:
        hashed = hashlib.blake2b(digest_size=16, key=secret, person=purpose.encode())
        for part in parts:
            raw = part.encode()
            hashed.update(len(raw).to_bytes(4, "big") + raw)
        return hashed.hexdigest()

    return digest


# -- Graph


def graph(pool: Any, told: argparse.Namespace) -> Callable[..., Json]:
    """Sign in; a function that asks Graph and gives its JSON."""
    form = {
        "client_id": told.client_id,
        "client_secret": told.client_secret,
        "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
    }
    signed = pool.request_encode_body(
        "POST",
        f"/{told.tenant_id}/oauth2/v2.0/token",
        fields=form,
        headers={"Host": "login.microsoftonline.com"},
        encode_multipart=False,
    )
    headers = {
        "Host": "graph.microsoft.com",
        "Authorization": f"Bearer {orjson.loads(signed.data)['access_token']}",
        "Content-Type": "application/json",
        "Prefer": 'IdType="ImmutableId", odata.maxpagesize=500',
    }
    plain = {**headers, "Prefer": 'IdType="ImmutableId"'}

    def ask(method: str, path: str, body: bytes | None = None, paged: bool = False) -> Json:
        answer = pool.urlopen(method, path, body=body, headers=headers if paged else plain)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} was answered with {answer.status}: {answer.data[:300]!r}")
        known: Json = orjson.loads(answer.data)
        return known

    return ask


def batch(ask: Callable[..., Json], paths: list[str]) -> list[tuple[int, Json]]:
    """Ask for up to twenty things at once; place and answer of each, in any order."""
    parts = [
        {"id": str(at), "method": "GET", "url": path, "headers": {"Prefer": 'IdType="ImmutableId"'}}
        for at, path in enumerate(paths)
    ]
    answer = ask("POST", "/v1.0/$batch", orjson.dumps({"requests": parts}))
    return [(int(one["id"]), one["body"]) for one in answer["responses"] if one["status"] == 200]


def open_folders(
    ask: Callable[..., Json], user: str, now: datetime, state: Any, mailbox: str, digest: Callable[..., str]
) -> set[str]:
    """Open the delta of every folder that counts, and remember its link; the folders that do not count."""
    paths = [f"/users/{user}/mailFolders/{name}?$select=id" for name in LEFT_OUT]
    skipped = {body["id"] for _, body in batch(ask, paths)}
    query = "/mailFolders/delta?$select=displayName,parentFolderId,isHidden"
    tree = ask("GET", f"/v1.0/users/{user}{query}", None, True)
    places = []
    for one in tree["value"]:
        if one["parentFolderId"] in skipped:
            skipped.add(one["id"])
        link = "" if one["id"] in skipped else delta_link(ask, user, one["id"], now)
        values = {
            "folder": one["id"],
            "parent": one["parentFolderId"],
            "skipped": not link,
            "link": link,
            "next": "",
            "hidden": False,
        }
        places.append((f"mail|2folder|{digest('folder', one['id'])}", values))
    cursor = {"opened": now.isoformat(), "started": True, "tree": tree["@odata.deltaLink"], "skipped": sorted(skipped)}
    save(state, mailbox, "mail", 1, cursor, places)
    return skipped


def delta_link(ask: Callable[..., Json], user: str, folder: str, now: datetime) -> str:
    """Read all pages of a folder's first delta round; where the next one begins."""
    opened = f"{now - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    path = (
        f"/v1.0/users/{user}/mailFolders/{folder}/messages/delta?$select={LIGHT}"
        f"&$filter=receivedDateTime%20ge%20{opened}"
    )
    while True:
        page = ask("GET", path, None, True)
        if "@odata.deltaLink" in page:
            return str(page["@odata.deltaLink"])
        path = page["@odata.nextLink"].removeprefix("https://graph.microsoft.com")


# -- who is concerned


def decide(
    messages: list[Json], contacts: Json, own: set[str], domain: str, skipped: set[str]
) -> tuple[list[Json], dict[str, int]]:
    """Messages with at least one contact outside of the firm, each with its relations; how many others, by reason."""
    kept: list[Json] = []
    reasons: dict[str, int] = defaultdict(int)
    for one in messages:
        if one["parentFolderId"] in skipped or one["isDraft"]:
            reasons["folder or draft"] += 1
            continue
        roles = correspondents(one)
        outside = {address for _, address in roles if address not in own and address.rpartition("@")[2] != domain}
        if not any(address in contacts for address in outside):
            reasons["no contact" if outside else "only internal"] += 1
            continue
        people: dict[str, tuple[str, str, str]] = {}
        for role, address in roles:
            if address in contacts:
                key, name = contacts[address]
                people.setdefault(key, (name, role, address))
        one["people"] = people
        one["out"] = roles[0][1] not in outside
        kept.append(one)
    return kept, reasons


def correspondents(one: Json) -> list[tuple[str, str]]:
    """Role and address of everybody on a message."""
    author, sender = one.get("from"), one.get("sender")
    roles = []
    if author:
        roles.append(("from", author["emailAddress"]["address"].strip().lower()))
    if sender and sender != author:
        roles.append(("sender", sender["emailAddress"]["address"].strip().lower()))
    for role, field in (("to", "toRecipients"), ("cc", "ccRecipients"), ("bcc", "bccRecipients")):
        for party in one[field]:
            roles.append((role, party["emailAddress"]["address"].strip().lower()))
    return roles


# -- what it says


def filled(ask: Callable[..., Json], user: str, kept: list[Json]) -> Iterator[list[Json]]:
    """Messages with clean HTML and text, about 8 MB at a time."""
    attributes = {tag: names - {"cite"} for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
    same = {"attributes": attributes, "url_relative": "deny"}
    cleaner = nh3.Cleaner(tags=nh3.ALLOWED_TAGS - {"img"}, url_schemes=SCHEMES, **same)
    with_images = nh3.Cleaner(url_schemes=SCHEMES | {"cid"}, attribute_filter=own_images, **same)
    ready: list[Json] = []
    size = 0
    for at in range(0, len(kept), 20):
        some = kept[at : at + 20]
        select = "$select=id,body,internetMessageHeaders"
        paths = [f"/users/{user}/messages/{quote(one['id'], safe='')}?{select}" for one in some]
        for place, message in batch(ask, paths):
            one, body = some[place], message["body"]
            if body["contentType"] == "html":
                content = body["content"]
                one["html"] = (with_images if "<img" in content.lower() else cleaner).clean(content)
                root = LexborHTMLParser(one["html"]).body
                one["text"] = root.text(separator=" ", strip=True) if root else ""
            else:
                one["html"], one["text"] = "", body["content"]
            ready.append(one)
            size += len(one["html"]) + len(one["text"])
            if size > HELD:
                yield ready
                ready, size = [], 0
    yield ready


def own_images(tag: str, attribute: str, value: str) -> str | None:
    """Images that came with the mail."""
    return None if tag == "img" and attribute == "src" and not value.lower().startswith("cid:") else value


if __name__ == "__main__":
    main()
