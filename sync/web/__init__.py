"""The web behind one HTTP function. Nothing of it is loaded before the first request."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import azure.functions as func

if TYPE_CHECKING:
    from sync.wiring import Site


async def answer(req: func.HttpRequest, context: func.Context | None = None) -> func.HttpResponse:
    """Answer a request of the Functions host. No exception leaves here: its traceback would reach the log."""
    from sync.web import problems

    if not _readable(req.url):
        body = problems.problem(400, "The address is not written in UTF-8.")
        return func.HttpResponse(body, status_code=400, headers=problems.HEADERS, mimetype=problems.MEDIA_TYPE)
    try:
        # What is built on the first request reads settings and opens storage: not on the loop everybody shares.
        application = await asyncio.to_thread(_current)
        response: func.HttpResponse = await application.handle_async(req, context)
    except Exception as error:  # noqa: BLE001 - the one door
        body = problems.broken(error)
        return func.HttpResponse(body, status_code=500, headers=problems.HEADERS, mimetype=problems.MEDIA_TYPE)
    return response


def _readable(url: str) -> bool:
    """Whether the middleware, which raises for such a path, can read an address."""
    try:
        unquote_to_bytes(urlsplit(url).path).decode()
    except ValueError:
        return False
    return True


def _current() -> Any:
    from sync import wiring

    return _application(wiring.site())


@lru_cache(maxsize=1)
def _application(site: Site) -> Any:
    """The application of a site; another site gets another one."""
    from sync.web.admin import Admin
    from sync.web.app import build

    admin = Admin(site.world, site.settings.tenant_id, site.policies, site.checks)
    middleware: Any = func.AsgiMiddleware  # it has no annotations
    return middleware(build(site.crm, site.settings.api_key.get_secret_value(), admin))
