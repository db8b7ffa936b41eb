"""One mailbox over Microsoft Graph. `wire` says what to send and what an answer means; this file only sends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import requests

from sync.errors import Throttled, Unavailable
from sync.graph import wire
from sync.graph.session import ThreadSessions
from sync.graph.signin import SignIn
from sync.graph.wire import Answer, Request
from sync.meter import Meter
from sync.model import Body, Broken, FolderRound, MailPage


class Graph:
    """Sends requests under one connection's token."""

    def __init__(self, sessions: ThreadSessions, signin: SignIn, meter: Meter) -> None:
        self._sessions = sessions
        self._signin = signin
        self._meter = meter

    def send(self, request: Request) -> Answer:
        """The answer, whatever its status; a refused token is replaced once. Raises Unavailable without an answer."""
        answer = self._send(request)
        if answer.status == 401:
            self._signin.forget()
            answer = self._send(request)
        return answer

    def _send(self, request: Request) -> Answer:
        headers = {
            **request.headers,
            "Authorization": f"Bearer {self._signin.token()}",
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
        }
        self._meter.add("graph_calls")
        self._meter.add("graph_units", request.units)
        try:
            got = self._sessions.current().request(
                request.method, request.url, data=request.body or None, headers=headers
            )
        except requests.RequestException as lost:
            raise Unavailable(f"Microsoft Graph did not answer ({type(lost).__name__}).", 30) from None
        self._meter.add("graph_bytes", len(got.content))
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, got.content)


class GraphMailbox:
    """The Mailbox port over Microsoft Graph. `user` is Graph's id of the mailbox's user, or its address."""

    def __init__(self, graph: Graph, user: str) -> None:
        self._send: Callable[[Request], Answer] = graph.send
        self._user = user

    def identity(self) -> tuple[str, tuple[str, ...]]:
        """Graph's id of the mailbox's user, and all his addresses."""
        return wire.read_user(self._send(wire.user(self._user)))

    def folders(self, cursor: str = "") -> FolderRound:
        """Folder changes since `cursor`, all pages as one; raises CursorGone."""
        found, link = wire.read_folder_page(self._send(wire.folder_changes(self._user, cursor)))
        while link:
            page, link = wire.read_folder_page(self._send(wire.follow(link)))
            found = FolderRound(found.folders + page.folders, found.removed + page.removed, page.cursor)
        return found

    def well_known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Ids of the well-known folders that exist, by name."""
        return wire.read_well_known([self._send(one) for one in wire.well_known(self._user, names)], names)

    def open_folder(self, folder: str, since: datetime) -> MailPage:
        """First page of a folder's delta from a time received on."""
        return wire.read_page(self._send(wire.open_folder(self._user, folder, since)), "a folder's changes")

    def follow(self, link: str) -> MailPage:
        """The page behind a link; raises CursorGone."""
        return wire.read_page(self._send(wire.follow(link)), "a folder's changes")

    def older(self, since: datetime | None, until: datetime, newest_first: bool) -> MailPage:
        """A page of old mail."""
        return wire.read_page(self._send(wire.older(self._user, since, until, newest_first)), "old mail")

    def bodies(self, ids: Sequence[str]) -> Iterator[tuple[str, Body | Broken | None]]:
        """Bodies, batch by batch, so that a caller may stop between two.

        What Graph throttles rises at the end, when all it did give is handed out; what it cannot give twice is Broken.
        """
        waiting, second, size = list(ids), set[str](), wire.BATCH
        throttled: Throttled | None = None
        while waiting and throttled is None:
            asked, waiting = waiting[:size], waiting[size:]
            answer = self._send(wire.bodies(self._user, asked))
            size = wire.next_batch_size(len(asked), len(answer.body))
            for one, got in wire.read_bodies(answer, asked).items():
                if isinstance(got, Throttled):
                    throttled = got
                elif isinstance(got, Unavailable) and one not in second:
                    second.add(one)
                    waiting.append(one)
                elif isinstance(got, Unavailable):
                    yield one, Broken(one, got.sentence)
                else:
                    yield one, got
        if throttled is not None:
            raise throttled
