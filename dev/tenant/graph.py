"""A request to Graph on its way: throttling, faults, sign-in, batch, route; and how answers are written out.

Whatever has no route is answered with a loud 501: never with silence, never with success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from dev.tenant import batch, uploads
from dev.tenant.call import Call, call_of
from dev.tenant.exchange import Answer, Break, Json, Refusal, Request, Response, bad_request, header_of, not_built
from dev.tenant.faults import DAMAGE, ODD_PAGES, REFUSALS, Fault
from dev.tenant.limits import Grant, mailbox_in, too_many_at_once
from dev.tenant.odata import segments_of
from dev.tenant.odd_pages import spoiled
from dev.tenant.routes import found

if TYPE_CHECKING:
    from dev.tenant.state import Tenant

_JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


def answer(tenant: Tenant, request: Request, grant: Grant) -> tuple[Response, str]:
    """Answer a request to Graph; also says what of it is exempt from the contract, empty where nothing is."""
    ids = _request_ids(tenant, request)
    tenant.tally.count("calls")
    fault = tenant.faults.due(f"{request.method} {request.url}")
    exempt = [fault.kind] if fault else []
    if not _is_batch(request):
        tenant.tally.count("units")

    def work() -> Answer:
        if _is_batch(request):
            return _batched(tenant, request, ids, exempt, grant)
        tenant.sign_in.check(request)
        _throttle(tenant, request.url, grant, (0, 0))
        return _dispatch(call_of(tenant, request))

    said = _guarded(tenant, ids, lambda: _struck(tenant, fault, request.url, ids, work))
    if said.status == 501:
        exempt.append("not built")
    response = _written(said, ids)
    if fault and fault.kind in DAMAGE:
        response = damaged(fault, response)
    return response, " ".join(exempt)


def uploaded(tenant: Tenant, request: Request) -> Response:
    """Answer a request to an upload URL, which bears its own right and is no part of Graph's contract."""
    ids = _request_ids(tenant, request)
    fault = tenant.faults.due(f"{request.method} {request.url}")

    def work() -> Answer:
        return uploads.answer(tenant, request)

    response = _written(_guarded(tenant, ids, lambda: _struck(tenant, fault, request.url, ids, work)), ids)
    return damaged(fault, response) if fault and fault.kind in DAMAGE else response


def _is_batch(request: Request) -> bool:
    return request.method == "POST" and urlsplit(request.url).path.lower().rstrip("/").endswith("/$batch")


def _struck(tenant: Tenant, fault: Fault | None, url: str, ids: Json, work: Callable[[], Answer]) -> Answer:
    """The answer of `work`, or what a fault makes of it."""
    if fault is None:
        said = work()
        _remember(tenant, url, said)
        return said
    if not fault.works:
        # A connection that never came about is broken by the door; the answer is never seen.
        return refused(tenant, injected(fault, url), ids) if fault.kind in REFUSALS else Answer(status=503)
    said = _guarded(tenant, ids, work)
    if fault.kind in REFUSALS:
        return refused(tenant, injected(fault, url), ids)
    if fault.kind in ODD_PAGES:
        return spoiled(fault, said, url, tenant.faults.told.get(_page_key(url)))
    return said


def _remember(tenant: Tenant, url: str, said: Answer) -> None:
    """Keep an item of a page while faults wait: one of them may tell it again."""
    if tenant.faults.waiting and isinstance(said.payload, dict) and said.payload.get("value"):
        tenant.faults.told[_page_key(url)] = said.payload["value"][-1]


def _page_key(url: str) -> str:
    return "/".join(segments_of(urlsplit(url).path)).lower()


def _throttle(tenant: Tenant, url: str, grant: Grant, place: tuple[int, int]) -> None:
    name = mailbox_in(url)
    if name:
        mailbox = tenant.canonical(name)
        tenant.quota.count(mailbox, tenant.now(), tenant.switches.quota)
        if not grant.takes(mailbox, *place):
            raise too_many_at_once()


def injected(fault: Fault, url: str) -> Refusal:
    """The refusal that a fault stands for."""
    status, code, sentence = REFUSALS[fault.kind]
    headers = {"Location": fault.link} if fault.kind == "redirect" else {}
    if fault.after is not None:
        headers["Retry-After"] = f"{fault.after:g}"
    if fault.location:
        headers["Location"] = url.partition("?")[0] + "?$deltatoken="
    return Refusal(fault.status or status, fault.code or code, sentence, headers)


def damaged(fault: Fault, response: Response) -> Response:
    """A good answer, spoiled: broken off, cut, or replaced by what is not JSON."""
    headers = dict(response.headers)
    match fault.kind:
        case "reset" | "timeout" | "connect_timeout" as kind:
            return Response(response.status, headers, response.body, Break(kind, fault.after or 0))
        case "truncate":
            cut = int(fault.after) if fault.after is not None else len(response.body) // 2
            return Response(fault.status or response.status, headers, response.body[:cut])
        case "malformed":
            return Response(fault.status or 200, headers, b'{"value": [{"id": oops')
    page = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body>Try again.</body></html>"
    return Response(fault.status or 200, {**headers, "Content-Type": "text/html; charset=us-ascii"}, page)


def _batched(tenant: Tenant, request: Request, ids: Json, exempt: list[str], grant: Grant) -> Answer:
    tenant.sign_in.check(request)
    if urlsplit(request.url).path.strip("/").lower() != "v1.0/$batch":
        raise not_built(f"POST {urlsplit(request.url).path}")
    root = request.url[: request.url.lower().rindex("/$batch")]
    tenant.tally.count("batches")
    numbers: Counter[str] = Counter()

    def part_answer(position: int, part: batch.Part) -> Answer:
        tenant.tally.count("units")
        fault = tenant.faults.due(f"{part.method} {part.url}", position=position)
        exempt.extend([f"part:{fault.kind}"] if fault else [])
        body = orjson.dumps(part.body) if part.body is not None else b""
        inner = Request(part.method, root + part.url, part.headers, body)
        mailbox = tenant.canonical(mailbox_in(part.url))
        place = (numbers[mailbox], position - 1)
        numbers[mailbox] += 1

        def work() -> Answer:
            _throttle(tenant, inner.url, grant, place)
            return _dispatch(call_of(tenant, inner))

        said = _guarded(tenant, ids, lambda: _struck(tenant, fault, inner.url, ids, work))
        exempt.extend(["not built"] if said.status == 501 else [])
        return said

    out = batch.run(batch.parts_of(request.body, tenant.switches.strict_depends_on), part_answer)
    if tenant.switches.shuffle_batch:
        out["responses"].sort(key=lambda one: tenant.ids.digest(8, "shuffle", one["id"]))
    return Answer(out)


def _dispatch(call: Call) -> Answer:
    if call.segments and call.segments[0].lower() == "me":
        raise bad_request("/me needs a signed-in user; an app on its own names the user.")
    match = found(call.method, call.segments)
    if match is None:
        raise not_built(f"{call.method} /{'/'.join(call.segments)}")
    pattern, route, places = match
    call.tenant.tally.count(f"{call.method} {pattern}")
    if route is None:
        raise not_built(f"{call.method} /{'/'.join(call.segments)}")
    said = route(call, *places)
    applied = {"Preference-Applied": call.prefer.applied} if call.prefer.applied else {}
    return Answer(said.payload, said.status, {**applied, **said.headers})


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
    payload = said.payload
    if isinstance(payload, dict):
        headers["Content-Type"] = _JSON if said.status < 400 else "application/json"
        payload = orjson.dumps(payload)
    headers.update(_texts(said.headers))
    return Response(said.status, headers, payload or b"")


def _texts(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value.encode("ascii", "replace").decode() for name, value in headers.items()}
