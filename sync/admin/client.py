"""The admin API as the command line asks it: the address checked, the key in a header, refusals as errors.

The key goes to one origin and nowhere else: no redirect is followed, no cookie is kept, and no environment variable
changes proxies or certificates, as everywhere in Accord (`graph/session.py`); a `.netrc` would even replace the key.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from sync.admin.render import amount, clean
from sync.errors import BadCommand, NotReached, Refused

# Connect, then between two bytes. Azure ends a request after 230 seconds, so the answer is there before.
TIMEOUT = (10.0, 240.0)
PAGE = 200
PROBLEM = "application/problem+json"
_CHUNK = 64 * 1024
_REMEDIES: Mapping[int, str] = {
    404: "List what there is, and name one of it.",
    409: "Look at how it stands now, and decide again.",
    412: "Somebody changed it meanwhile: look at it again, then repeat the command.",
    413: "Send it in parts.",
    415: "Send another format.",
    422: "Mend what is named, and repeat the command.",
    428: "Read it first, then repeat the command.",
}

Query = Mapping[str, str | int | bool | None]


class Told(dict[str, Any]):
    """An object of an answer; what it must have and has not is said in a sentence."""

    def __missing__(self, name: str) -> Any:
        raise NotReached(
            f"The answer has no {name!r}: what answers there is not Accord, or another release of it.",
            "Check --url, and that app and command line are one release.",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered: its JSON (None where there is none) and the version of what was read."""

    status: int
    json: Any
    etag: str = ""


def origin(given: str) -> str:
    """The address of a service without a slash at its end; raises BadCommand for one the key must not be sent to."""
    try:
        parts = urlsplit(given.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0 or not given.isascii():
        raise BadCommand("The address of the service cannot be read.", "Write it like https://accord.firm.example.")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadCommand("The address of the service holds more than a place.", "Write only scheme, host and path.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise BadCommand("The key is sent over https only.", "Begin the address with https://.")
    return given.strip().rstrip("/")


class Client:
    """One service, by its address and key."""

    def __init__(self, url: str, key: str, adapter: BaseAdapter | None = None) -> None:
        self._url = origin(url)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.adapters.clear()
        self._session.mount(self._url + "/", adapter or HTTPAdapter(max_retries=0))
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"X-Api-Key": key, "Accept": "application/json", "User-Agent": "accord-admin"})

    def get(self, path: str, query: Query | None = None) -> Answer:
        """Read something."""
        return self.ask("GET", path, query)

    def post(self, path: str, body: Any = None) -> Answer:
        """Have something done."""
        return self.ask("POST", path, body=body)

    def ask(self, method: str, path: str, query: Query | None = None, body: Any = None, etag: str = "") -> Answer:
        """One request with a JSON body or none. Raises Refused and NotReached."""
        headers = {"If-Match": etag} if etag else {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        return _read(self._send(method, path, query, data, headers))

    def upload(self, path: str, data: Any, kind: str) -> Answer:
        """Send a file; `data` is bytes or something with `read`, a length and an iterator, as requests takes it."""
        return _read(self._send("POST", path, None, data, {"Content-Type": kind}))

    def download(self, path: str, query: Query | None = None) -> Iterator[bytes]:
        """A file piece by piece. Raises NotReached where it breaks off."""
        answer = self._send("GET", path, query, None, {"Accept": "*/*"}, stream=True)
        if answer.status_code != 200:
            _read(answer)
        try:
            yield from answer.iter_content(_CHUNK)
        except requests.RequestException:
            raise NotReached("The answer broke off.", "Repeat the command.") from None

    def pages(self, path: str, query: Query | None = None, most: int | None = None) -> Iterator[Any]:
        """The items of a list over all its pages, `most` at most."""
        after, left = "", most
        while left is None or left > 0:
            limit = PAGE if left is None else min(PAGE, left)
            page = self.get(path, {**(query or {}), "limit": limit, "after": after or None}).json
            yield from page["items"]
            if not page["next"]:
                return
            after = further(page["next"], after)
            left = None if left is None else left - len(page["items"])

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def _send(
        self, method: str, path: str, query: Query | None, data: Any, headers: Mapping[str, str], stream: bool = False
    ) -> requests.Response:
        params = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._session.request(
                method,
                self._url + path,
                params=params,
                data=data,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=stream,
            )
        except requests.exceptions.SSLError:
            raise NotReached("The certificate of the service cannot be trusted.", "Check --url.") from None
        except requests.exceptions.ReadTimeout:
            raise NotReached("The service took too long.", "See `health`, then repeat the command.") from None
        except requests.RequestException:
            raise NotReached(
                "The service cannot be reached.", "Check that it runs, and its address in --url or ACCORD_URL."
            ) from None
        return answer


def further(following: str, before: str) -> str:
    """Where to go on; raises NotReached where that is where one comes from."""
    if following == before:
        raise NotReached("The answer leads back to itself.", "Check that app and command line are one release.")
    return following


def part(text: str) -> str:
    """A name as one part of a path."""
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(answer: requests.Response) -> Answer:
    status = answer.status_code
    if status == 204:
        return Answer(status, None)
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if 300 <= status < 400:
        raise NotReached(
            "The address leads elsewhere, and the key does not follow.", "Give the final address in --url."
        )
    try:
        body = json.loads(answer.content, object_hook=Told) if kind in ("application/json", PROBLEM) else None
    except ValueError:
        body = None
    if 200 <= status < 300 and isinstance(body, dict):
        return Answer(status, body, answer.headers.get("ETag", ""))
    raise _refusal(status, body if isinstance(body, dict) and kind == PROBLEM else None, answer.headers)


def _refusal(status: int, problem: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Refused | NotReached:
    """What an answer other than success means for whoever asked."""
    if status == 401:
        return NotReached("The service does not take this key.", "Set ACCORD_API_KEY to the key of the app's settings.")
    if problem is None:
        return NotReached(
            f"What answers there is not Accord, or does not work (HTTP status {status}).",
            "Check --url; where it is right, look at the app's log.",
        )
    told = [problem.get("detail") or problem.get("title") or "", *_problems(problem)]
    sentence = clean(" ".join(str(one) for one in told if one)) or f"HTTP status {status}."
    return Refused(sentence, _remedy(status, problem, headers))


def _problems(problem: Mapping[str, Any]) -> list[str]:
    listed = problem.get("problems")
    return [str(one) for one in listed] if isinstance(listed, list) else []


def _remedy(status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    if isinstance(problem.get("remedy"), str) and problem["remedy"]:
        return clean(problem["remedy"])
    if status == 503:
        after = headers.get("Retry-After", "")
        return f"Try again in {amount(int(after), 'second')}." if after.isdecimal() else "Try again in a while."
    if problem.get("id"):
        return f"Find it in the app's log by {clean(problem['id'])}."
    return _REMEDIES.get(status, "See --help.")
