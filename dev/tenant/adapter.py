"""The door in process: a requests adapter that hands every request to a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import responses
from io import BytesIO
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from dev.tenant.exchange import Request
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
        if response.breaks and response.breaks.kind == "timeout":
            raise requests.ReadTimeout(f"No answer from {request.url} in time.", request=request)
        if response.breaks:
            sentence = f"The connection was reset after {response.breaks.after:g} bytes."
            raise requests.ConnectionError(sentence, request=request)
        raw = HTTPResponse(
            body=BytesIO(response.body),
            headers=response.headers,
            status=response.status,
            reason=responses.get(response.status, ""),
            preload_content=False,
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
