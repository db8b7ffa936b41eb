"""Tokens for one connection, through msal: application permissions with a client secret.

msal keeps the token in memory and asks for a new one when it runs out.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import msal
import orjson
import requests
from msal.exceptions import MsalServiceError

from sync.errors import Retry, SignInRefused, Throttled, Unavailable
from sync.graph.answers import Answer, retry_after, throttled
from sync.graph.session import ThreadSessions

SCOPES = ["https://graph.microsoft.com/.default"]
# So many seconds at most a token is handed out again before msal is asked whether it is still good: looking it up costs
# as much as a small request. Out of its memory msal hands none that ends within five minutes, but a new one may.
HELD = 30.0
_BUSY = 90033
_FALLBACK = "Look the code up in the Entra sign-in log of the app, mend what it names, and connect again."
# What an administrator can do about the refusals that app-only sign-in really meets.
_REMEDIES = {
    7000215: ("The client secret is wrong.", "Paste the secret's value, not its id, into ACCORD_CLIENT_SECRET."),
    7000222: ("The client secret has expired.", "Make a new secret for the app and put it into ACCORD_CLIENT_SECRET."),
    700016: ("The tenant does not know this app.", "Check ACCORD_CLIENT_ID, or grant admin consent in this tenant."),
    90002: ("There is no such tenant.", "Check ACCORD_TENANT_ID."),
    900023: ("The tenant id is not valid.", "Check ACCORD_TENANT_ID."),
    7000112: ("The app is disabled in this tenant.", "Enable the enterprise application in Entra."),
    53003: ("A Conditional Access policy blocks the app.", "Exclude the app, or allow its network, in that policy."),
    65001: ("Consent is missing.", "Grant admin consent to the app in this tenant."),
}


class SignIn:
    """Signs one app in to one tenant; built lazily, shared by all threads."""

    def __init__(self, tenant_id: str, client_id: str, client_secret: str, sessions: ThreadSessions) -> None:
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._client_secret = client_secret
        self._sessions = sessions
        self._lock = threading.Lock()
        self._app: msal.ConfidentialClientApplication | None = None
        self._held = ("", 0.0)

    def token(self) -> str:
        """A token that is still good; raises SignInRefused with a remedy, Throttled, or Unavailable."""
        given, until = self._held
        if given and time.monotonic() < until:
            return given
        try:
            with self._lock:
                asked = time.monotonic()
                answer = self._application().acquire_token_for_client(SCOPES)
                life = min(HELD, float(answer.get("expires_in") or 0))
                self._held = (str(answer.get("access_token") or ""), asked + life)
        except (requests.RequestException, MsalServiceError):
            raise Unavailable("Microsoft's sign-in service did not answer.", 30) from None
        except ValueError as unknown:
            # msal's only word for a tenant it could not look up: Entra's code stands in the error behind it.
            code = re.search(r"AADSTS(\d+)", str(unknown.__context__))
            if code is None:
                raise Unavailable("Microsoft's sign-in service gave no addresses for this tenant.", 30) from None
            raise _refusal({"error_codes": [int(code[1])]}) from None
        token = answer.get("access_token")
        if isinstance(token, str):
            return token
        raise _refusal(answer)

    def forget(self, token: str = "") -> None:
        """Drop the remembered token: Graph no longer takes it. With `token` only while it is that one, so that of many
        who are refused at once one signs in again."""
        with self._lock:
            if self._app is not None and token in ("", self._held[0]):
                self._held = ("", 0.0)
                try:
                    self._app.remove_tokens_for_client()
                except (requests.RequestException, MsalServiceError, Retry, ValueError):
                    # It asks under which names the service goes, and was refused: a new beginning has no token either.
                    self._app = None

    def _application(self) -> msal.ConfidentialClientApplication:
        if self._app is None:
            self._app = msal.ConfidentialClientApplication(
                self._client_id,
                client_credential=self._client_secret,
                authority=f"https://login.microsoftonline.com/{self._tenant_id}",
                http_client=_Door(self._sessions),
            )
        return self._app


class _Door:
    """Where msal sends through. Two kinds of answers never reach it: what asks to wait, since msal keeps it by a clock
    of its own and its header is lost behind it, and what is no JSON, since msal logs such a body, with the token that
    may stand in it (S28)."""

    def __init__(self, sessions: ThreadSessions) -> None:
        self._sessions = sessions

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        return _heard(self._sessions.get(url, **kwargs))

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        return _heard(self._sessions.post(url, **kwargs))

    def close(self) -> None:
        """The sessions stay their owner's to close."""


def _heard(got: requests.Response) -> requests.Response:
    answer = Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()})
    if throttled(answer):
        sentence = "Microsoft's sign-in service asked us to wait."
        raise Throttled(sentence, retry_after(answer), scope="connection")
    try:
        orjson.loads(got.content)
    except orjson.JSONDecodeError:
        raise Unavailable("Microsoft's sign-in service gave an answer that cannot be read.", 30) from None
    return got


def _refusal(answer: dict[str, Any]) -> SignInRefused | Unavailable:
    codes = answer.get("error_codes") or [0]
    if answer.get("error") == "temporarily_unavailable" or codes[0] == _BUSY:
        return Unavailable("Microsoft's sign-in service is busy.", 30)
    sentence, remedy = _REMEDIES.get(codes[0], ("Microsoft Entra refused to sign the app in.", _FALLBACK))
    return SignInRefused(f"{sentence} (AADSTS{codes[0]})" if codes[0] else sentence, remedy)
