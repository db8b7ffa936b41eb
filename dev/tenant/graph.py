"""The routes of Microsoft Graph v1.0 that the tenant imitates, and how answers and refusals are written out.

Whatever is not here is answered with a loud 501: never with silence, never with success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from dev.tenant import batch, delta, messages, tree, users
from dev.tenant.call import Call, call_of
from dev.tenant.exchange import Answer, Break, Json, Refusal, Request, Response, bad_request, header_of, not_built
from dev.tenant.faults import DAMAGE, REFUSALS, Fault

if TYPE_CHECKING:
    from dev.tenant.state import Tenant

Route = Callable[..., Answer]

# {} takes any segment; literal patterns stand before the general ones they would be taken by.
ROUTES: tuple[tuple[str, Route], ...] = (
    ("users", users.everyone),
    ("users/{}", users.one),
    ("users/{}/mailfolders", tree.top),
    ("users/{}/mailfolders/delta", delta.folders),
    ("users/{}/mailfolders/{}", tree.one),
    ("users/{}/mailfolders/{}/childfolders", tree.below),
    ("users/{}/mailfolders/{}/childfolders/{}", tree.one_below),
    ("users/{}/mailfolders/{}/messages", messages.list_folder),
    ("users/{}/mailfolders/{}/messages/delta", delta.messages),
    ("users/{}/mailfolders/{}/messages/{}", messages.one_in_folder),
    ("users/{}/messages", messages.list_all),
    ("users/{}/messages/delta", messages.refuse_mailbox_delta),
    ("users/{}/messages/{}", messages.one),
    ("users/{}/messages/{}/$value", messages.value),
    ("users/{}/messages/{}/attachments", messages.attachments),
    ("users/{}/messages/{}/attachments/{}", messages.attachment),
    ("users/{}/messages/{}/attachments/{}/$value", messages.attachment_value),
)
_PATTERNS = tuple((pattern, tuple(pattern.split("/")), route) for pattern, route in ROUTES)
_JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


def answer(tenant: Tenant, request: Request) -> tuple[Response, str]:
    """Answer a request to Graph; also says what of it is exempt from the contract, empty where nothing is."""
    ids = _request_ids(tenant, request)
    tenant.tally.count("calls")
    fault = tenant.faults.due(f"{request.method} {request.url}")
    exempt = [fault.kind] if fault else []
    is_batch = request.method == "POST" and urlsplit(request.url).path.lower().rstrip("/").endswith("/$batch")
    if not is_batch:
        tenant.tally.count("units")
    if fault and fault.kind in REFUSALS:
        said = refused(tenant, injected(fault, request.url), ids)
    else:
        said = _guarded(tenant, ids, lambda: _routed(tenant, request, ids, exempt, is_batch))
    if said.status == 501:
        exempt.append("not built")
    response = _written(said, ids)
    if fault and fault.kind in DAMAGE:
        response = damaged(fault, response)
    return response, " ".join(exempt)


def injected(fault: Fault, url: str) -> Refusal:
    """The refusal that a fault stands for."""
    status, code, sentence = REFUSALS[fault.kind]
    headers = {}
    if fault.after is not None:
        headers["Retry-After"] = f"{fault.after:g}"
    if fault.location:
        headers["Location"] = url.partition("?")[0] + "?$deltatoken="
    return Refusal(fault.status or status, fault.code or code, sentence, headers)


def damaged(fault: Fault, response: Response) -> Response:
    """A good answer, spoiled: broken off, cut, or replaced by what is not JSON."""
    headers = dict(response.headers)
    match fault.kind:
        case "reset" | "timeout" as kind:
            return Response(response.status, headers, response.body, Break(kind, fault.after or 0))
        case "truncate":
            cut = int(fault.after) if fault.after is not None else len(response.body) // 2
            return Response(fault.status or response.status, headers, response.body[:cut])
        case "malformed":
            return Response(fault.status or 200, headers, b'{"value": [{"id": oops')
    page = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body>Try again.</body></html>"
    return Response(fault.status or 200, {**headers, "Content-Type": "text/html; charset=us-ascii"}, page)


def _routed(tenant: Tenant, request: Request, ids: Json, exempt: list[str], is_batch: bool) -> Answer:
    tenant.sign_in.check(request)
    if not is_batch:
        return _dispatch(call_of(tenant, request))
    if urlsplit(request.url).path.strip("/").lower() != "v1.0/$batch":
        raise not_built(f"POST {urlsplit(request.url).path}")
    root = request.url[: request.url.lower().rindex("/$batch")]
    tenant.tally.count("batches")

    def part_answer(part: batch.Part) -> Answer:
        tenant.tally.count("units")
        fault = tenant.faults.due(f"{part.method} {part.url}", part=True)
        if fault:
            exempt.append(f"part:{fault.kind}")
            return refused(tenant, injected(fault, root + part.url), ids)
        body = orjson.dumps(part.body) if part.body is not None else b""
        inner = Request(part.method, root + part.url, part.headers, body)
        said = _guarded(tenant, ids, lambda: _dispatch(call_of(tenant, inner)))
        exempt.extend(["not built"] if said.status == 501 else [])
        return said

    out = batch.run(batch.parts_of(request.body), part_answer)
    if tenant.switches.shuffle_batch:
        out["responses"].sort(key=lambda one: tenant.ids.digest(8, "shuffle", one["id"]))
    return Answer(out)


def _dispatch(call: Call) -> Answer:
    if call.segments and call.segments[0].lower() == "me":
        raise bad_request("/me needs a signed-in user; an app on its own names the user.")
    for pattern, names, route in _PATTERNS:
        found = _matched(names, call.segments)
        if found is not None:
            call.tenant.tally.count(f"{call.method} {pattern}")
            if call.method != "GET":
                break
            said = route(call, *found)
            applied = {"Preference-Applied": call.prefer.applied} if call.prefer.applied else {}
            return Answer(said.payload, said.status, {**applied, **said.headers})
    raise not_built(f"{call.method} /{'/'.join(call.segments)}")


def _matched(names: tuple[str, ...], segments: tuple[str, ...]) -> list[str] | None:
    if names[:3] == ("users", "{}", "messages") and segments[2:3] and segments[2].lower() == "mailfolders":
        return _in_folder(names, segments)
    if len(names) != len(segments):
        return None
    found = []
    for name, segment in zip(names, segments, strict=True):
        if name == "{}":
            found.append(segment)
        elif name != segment.lower():
            return None
    return found


def _in_folder(names: tuple[str, ...], segments: tuple[str, ...]) -> list[str] | None:
    """What lies below a message is the same by way of its folder."""
    if len(names) < 5 or len(segments) != len(names) + 2 or segments[4].lower() != "messages":
        return None
    return _matched(names, segments[:2] + segments[4:])


def _guarded(tenant: Tenant, ids: Json, work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except Refusal as refusal:
        return refused(tenant, refusal, ids)


def refused(tenant: Tenant, refusal: Refusal, ids: Json) -> Answer:
    """A refusal in Graph's error form."""
    inner = {"date": f"{tenant.now():%Y-%m-%dT%H:%M:%S}", **ids}
    error = {"code": refusal.code, "message": refusal.message, "innerError": inner}
    return Answer({"error": error}, refusal.status, refusal.headers)


def _request_ids(tenant: Tenant, request: Request) -> Json:
    own = tenant.ids.guid("request", str(tenant.tally.counts().get("calls", 0)))
    return {"request-id": own, "client-request-id": header_of(request.headers, "client-request-id") or own}


def _written(said: Answer, ids: Json) -> Response:
    headers: dict[str, str] = {"Cache-Control": "private", **ids}
    body = said.payload if isinstance(said.payload, bytes) else b""
    if said.payload is not None and not isinstance(said.payload, bytes):
        headers["Content-Type"] = _JSON if said.status < 400 else "application/json"
        body = orjson.dumps(said.payload)
    headers.update(_texts(said.headers))
    return Response(said.status, headers, body)


def _texts(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value.encode("ascii", "replace").decode() for name, value in headers.items()}
