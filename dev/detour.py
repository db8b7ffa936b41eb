"""A requests adapter that takes requests for Microsoft to a simulated tenant on this machine."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

ORIGINS = ("https://graph.microsoft.com", "https://login.microsoftonline.com")


class DetourAdapter(HTTPAdapter):
    """Mount it for the two Microsoft origins. The Host header stays, so links in answers name it too."""

    def __init__(self, port: int) -> None:
        self._origin = f"http://127.0.0.1:{port}"
        super().__init__(pool_connections=2, pool_maxsize=32)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send to the tenant; ValueError for any other origin."""
        asked = urlsplit(str(request.url))
        origin = f"{asked.scheme}://{asked.netloc}"
        if origin not in ORIGINS:
            raise requests.exceptions.InvalidURL(f"Only Microsoft's addresses are led to the tenant, not {origin}.")
        detoured = request.copy()
        detoured.url = self._origin + str(request.url)[len(origin) :]
        detoured.headers["Host"] = asked.netloc
        response = super().send(detoured, *args, **kwargs)
        response.url, response.request = str(request.url), request
        return response
