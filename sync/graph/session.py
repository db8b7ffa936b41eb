"""The one way out: an HTTP session that reaches the two Microsoft origins and, by construction, no other host.

No cookies are kept, no environment variable changes certificates or proxies, no redirect is followed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

GRAPH = "https://graph.microsoft.com/"
LOGIN = "https://login.microsoftonline.com/"
ORIGINS = (GRAPH, LOGIN)
# Connect, then between two bytes: no single effect may take longer than a minute.
TIMEOUT = (5.0, 50.0)


class PinnedSession(requests.Session):
    """A requests session with two adapters: any other address has none and raises InvalidSchema."""

    def __init__(self, adapter: BaseAdapter | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        for origin in ORIGINS:
            self.mount(origin, adapter or HTTPAdapter(max_retries=0))
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send; redirects come back as answers, and nothing waits for ever."""
        kwargs["allow_redirects"] = False
        kwargs.setdefault("timeout", TIMEOUT)
        return super().request(*args, **kwargs)


class ThreadSessions:
    """A session for each thread: requests' sessions are not made to be shared. msal takes this as its http_client."""

    def __init__(self, adapter: Callable[[], BaseAdapter] | None = None) -> None:
        self._adapter = adapter
        self._local = threading.local()
        self._all: list[PinnedSession] = []
        self._lock = threading.Lock()

    def current(self) -> PinnedSession:
        """This thread's session."""
        session: PinnedSession | None = getattr(self._local, "session", None)
        if session is None:
            session = PinnedSession(self._adapter() if self._adapter else None)
            self._local.session = session
            with self._lock:
                self._all.append(session)
        return session

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        """GET through this thread's session."""
        return self.current().get(url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        """POST through this thread's session."""
        return self.current().post(url, **kwargs)

    def close(self) -> None:
        """Close the sessions of all threads."""
        with self._lock:
            for session in self._all:
                session.close()
            self._all.clear()
