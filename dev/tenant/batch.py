"""POST /$batch: up to twenty requests in one, each answered and counted by itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from dev.tenant.exchange import Answer, Json, bad_request
from dev.tenant.lazy import Repeated

MOST_PARTS = 20
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a batch; `url` is relative to /v1.0."""

    id: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
    after: tuple[str, ...]


def parts_of(body: bytes, strict: bool = False) -> list[Part]:
    """Read a batch; anything wrong with its form refuses the whole. With `strict` a dependsOn of a shape that the real
    service is known to get wrong is refused too: none, each on the one before, or all on the same one."""
    try:
        raw = orjson.loads(body)
    except ValueError:
        raise bad_request("The batch is not JSON.") from None
    requests = raw.get("requests") if isinstance(raw, dict) else None
    if not isinstance(requests, list) or not requests:
        raise bad_request("The batch has no list of requests.")
    if len(requests) > MOST_PARTS:
        raise bad_request(f"The batch has {len(requests)} requests, above the maximum of {MOST_PARTS}.")
    parts = [_part(one) for one in requests]
    seen: set[str] = set()
    for part in parts:
        if part.id.lower() in seen:
            raise bad_request(f"The batch has the request id {part.id!r} twice.")
        # A request can wait for those before it only, which rules out circles too.
        if missing := [one for one in part.after if one.lower() not in seen]:
            raise bad_request(f"Request {part.id!r} depends on {missing[0]!r}, which does not precede it.")
        seen.add(part.id.lower())
    if strict and not _plain_order(parts):
        raise bad_request("The batch's dependsOn is neither serial nor all on one request.")
    return parts


def _plain_order(parts: list[Part]) -> bool:
    after = [tuple(one.lower() for one in part.after) for part in parts]
    serial = [(), *((part.id.lower(),) for part in parts[:-1])]
    same = {one for one in after if one}
    return not same or after == serial or (len(same) == 1 and len(next(iter(same))) == 1)


def run(parts: list[Part], answer: Callable[[int, Part], Answer]) -> Json:
    """Answer every part in turn, with its place from 1; those whose dependency failed get a 424."""
    out: list[Json] = []
    failed: set[str] = set()
    for place, part in enumerate(parts, 1):
        if any(one.lower() in failed for one in part.after):
            error = {"code": "FailedDependency", "message": "A request that this one depends on failed."}
            said = Answer({"error": error}, 424)
        else:
            said = answer(place, part)
        if said.status >= 400:
            failed.add(part.id.lower())
        out.append(_written(part, said))
    return {"responses": out}


def _part(raw: Any) -> Part:
    if not isinstance(raw, dict):
        raise bad_request("A request of the batch is not an object.")
    name, method, url = raw.get("id"), raw.get("method"), raw.get("url")
    if not (isinstance(name, str) and name and isinstance(method, str) and isinstance(url, str) and url):
        raise bad_request("A request of the batch lacks its id, method or url.")
    headers, after = raw.get("headers") or {}, raw.get("dependsOn") or []
    if method.upper() not in _METHODS or not isinstance(headers, dict) or not isinstance(after, list):
        raise bad_request(f"Request {name!r} of the batch has a method, headers or dependsOn that cannot be read.")
    if "body" in raw and not any(header.lower() == "content-type" for header in headers):
        raise bad_request(f"Request {name!r} of the batch has a body without a Content-Type header.")
    texts = {str(header): str(value) for header, value in headers.items()}
    return Part(name, method.upper(), "/" + url.lstrip("/"), texts, raw.get("body"), tuple(map(str, after)))


def _written(part: Part, said: Answer) -> Json:
    headers = dict(said.headers)
    body: Any = said.payload
    if isinstance(body, bytes | Repeated):
        body = b64encode(bytes(body)).decode()
    elif body is not None:
        headers.setdefault("Content-Type", "application/json")
    out: Json = {"id": part.id, "status": said.status, "headers": headers}
    return out if body is None else {**out, "body": body}
