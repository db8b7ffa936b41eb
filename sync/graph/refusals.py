"""Every wait that an answer of Microsoft Graph asks for, also those that stand within a batch. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sync.errors import Throttled
from sync.graph.answers import Answer, loads, retry_after, throttled
from sync.graph.wire import BATCH_URL, Request


def heard(request: Request, answer: Answer) -> tuple[Answer, list[Throttled]]:
    """The answer, that to a batch parsed once for all, and what it or a part of it asks to wait."""
    if throttled(answer):
        return answer, [_wait(answer)]
    if request.url != BATCH_URL or answer.status >= 300:
        return answer, []
    try:
        json = loads(answer.body)
    except (ValueError, RecursionError):
        # Whoever reads it says so, with the name of what was asked for.
        return answer, []
    return replace(answer, json=json), [_wait(part) for part in _parts(json) if throttled(part)]


def _parts(json: Any) -> Iterator[Answer]:
    parts = json.get("responses") if isinstance(json, dict) else None
    for one in parts if isinstance(parts, list) else ():
        if isinstance(one, dict) and isinstance(one.get("status"), int):
            headers = one.get("headers")
            known = headers.items() if isinstance(headers, dict) else ()
            yield Answer(one["status"], {str(name).lower(): str(value) for name, value in known})


def _wait(answer: Answer) -> Throttled:
    return Throttled("Microsoft Graph asked us to wait.", retry_after(answer), scope=answer.scope)
