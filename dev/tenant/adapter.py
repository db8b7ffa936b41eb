"""The door in process: a requests adapter that hands every request to a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import responses
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from dev.tenant.exchange import Request
from dev.tenant.lazy import Reader
from dev.tenant.state import Tenant

ORIGINS = ("https://graph.microsoft.com/", "https://login.microsoftonline.com/")


class TenantAdapter(BaseAdapter):
    """Mount it for the two Microsoft origins. A connection that breaks is raised as requests would raise it."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__()
        self._tenant = tenant
        self._builder = HTTPAdapter()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer from the tenant."""
        del stream, timeout, verify, cert, proxies  # there is no wire they could apply to
        body = request.body or b""
        asked = Request(
            str(request.method),
            str(request.url),
            dict(request.headers),
            body.encode() if isinstance(body, str) else bytes(body),
        )
        response = self._tenant.handle(asked)
        broken = response.breaks
        if broken and broken.kind == "connect_timeout":
            raise requests.ConnectTimeout(f"No connection for {request.url} in time.", request=request)
        if broken and broken.kind == "timeout":
            raise requests.ReadTimeout(f"No answer from {request.url} in time.", request=request)
        if broken and not broken.after:
            raise requests.ConnectionError("The connection was reset before the answer came.", request=request)
        raw = HTTPResponse(
            body=Reader(response.body, int(broken.after) if broken else None),
            headers={**response.headers, "Content-Length": str(len(response.body))},
            status=response.status,
            reason=responses.get(response.status, ""),
            preload_content=False,
            request_method=request.method,
        )
        return self._builder.build_response(request, raw)

    def close(self) -> None:
        """Nothing is held open."""
        self._builder.close()


def session(tenant: Tenant) -> requests.Session:
    """A session that reaches the tenant at the two Microsoft origins and nothing else."""
    made = requests.Session()
    made.trust_env = False
    made.adapters.clear()
    for origin in ORIGINS:
        made.mount(origin, TenantAdapter(tenant))
    return made
