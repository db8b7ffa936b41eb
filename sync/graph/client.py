"""One mailbox over Microsoft Graph. `wire` says what to send and what an answer means; this file only sends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import requests

from sync.errors import BadItem, CursorGone, NeedsPerson, Retry, Throttled, TooLarge, Unavailable
from sync.graph import answers, news, wire
from sync.graph.answers import Answer, Part
from sync.graph.gates import Gates, Turn
from sync.graph.refusals import heard
from sync.graph.session import ThreadSessions
from sync.graph.signin import SignIn
from sync.graph.wire import Request
from sync.idle import changed_since
from sync.meter import Meter
from sync.model import Attachment, Body, Broken, Envelope, FolderRound, MailboxRow, MailPage

Thing = TypeVar("Thing")
# What comes is read in pieces of this many bytes.
PIECE = 256 * 1024


class Graph:
    """Sends requests under one connection's token, as many at once as `gates` let through."""

    def __init__(self, sessions: ThreadSessions, signin: SignIn, meter: Meter, gates: Gates) -> None:
        self._sessions = sessions
        self._signin = signin
        self._meter = meter
        self._gates = gates

    def send(self, request: Request, mailbox: str | None = None) -> Answer:
        """The answer, whatever its status; a refused token is replaced once. A batch comes parsed.

        `mailbox` names the one mailbox that the request, or every part of it, asks; with None only the app's gate
        counts it. Raises Unavailable without an answer, Throttled without a call while Microsoft told us to wait, and
        TooLarge for an answer that is too large to be held.
        """
        with self._gates.turn(mailbox, request.url == wire.BATCH_URL) as turn, self._asked(request, turn) as got:
            answer, refused = heard(request, self._whole(got, request))
            turn.heard(refused)
            return answer

    def reach(self) -> None:
        """Show that Microsoft Graph can be reached and takes our token; raises what keeps it from being so."""
        answers.read_reached(self.send(wire.anybody()))

    def stream(self, request: Request, what: str, mailbox: str | None = None) -> Iterator[bytes]:
        """The body of a good answer piece by piece, never held whole; raises what a refusal of `what` means.

        Otherwise as `send`. The slots are held until the last piece is taken, or the iterator is closed.
        """
        with self._gates.turn(mailbox, batch=False) as turn, self._asked(request, turn) as got:
            if got.status_code >= 300:
                answer, refused = heard(request, self._whole(got, request))
                turn.heard(refused)
                answers.refuse(answer, what)
            turn.heard(())
            yield from self._pieces(got)

    def _whole(self, got: requests.Response, request: Request) -> Answer:
        held: list[bytes] = []
        room = wire.ANSWER_MB * 1024 * 1024
        for piece in self._pieces(got):
            room -= len(piece)
            if room < 0:
                raise TooLarge(f"An answer of Microsoft Graph is larger than {wire.ANSWER_MB} MB.")
            held.append(piece)
        headers = {name.lower(): value for name, value in got.headers.items()}
        return Answer(got.status_code, headers, b"".join(held), scope=request.scope)

    def _pieces(self, got: requests.Response) -> Iterator[bytes]:
        try:
            for piece in got.iter_content(PIECE):
                self._meter.add("graph_bytes", len(piece))
                yield piece
        except requests.RequestException as lost:
            raise _no_answer(lost) from None

    def _asked(self, request: Request, turn: Turn) -> requests.Response:
        token = self._token(turn)
        got = self._open(request, token)
        if got.status_code != 401:
            return got
        got.close()
        self._signin.forget(token)
        return self._open(request, self._token(turn))

    def _token(self, turn: Turn) -> str:
        try:
            token = self._signin.token()
        except Throttled as refused:
            turn.heard([refused])
            raise
        turn.check()
        return token

    def _open(self, request: Request, token: str) -> requests.Response:
        headers = {
            **request.headers,
            "Authorization": f"Bearer {token}",
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
        }
        self._meter.add("graph_calls")
        self._meter.add("graph_units", request.units)
        try:
            return self._sessions.current().request(
                request.method, request.url, data=request.body or None, headers=headers, stream=True
            )
        except requests.RequestException as lost:
            raise _no_answer(lost) from None


def _no_answer(lost: requests.RequestException) -> Unavailable:
    return Unavailable(f"Microsoft Graph did not answer ({type(lost).__name__}).", 30)


class GraphPoll:
    """The Poll port over Microsoft Graph: twenty mailboxes to a batch."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, rows: Sequence[MailboxRow]) -> Iterator[tuple[str, bool | Retry | NeedsPerson]]:
        """Part by part. Raises Throttled where every part of a batch is: then not the mailboxes are the reason."""
        for at in range(0, len(rows), wire.BATCH):
            some = rows[at : at + wire.BATCH]
            asked = [(row.user or row.address, changed_since(row)) for row in some]
            said = news.read_changed(self._graph.send(news.changed(asked)), [row.id for row in some])
            waits = [one for one in said.values() if isinstance(one, Throttled)]
            if len(waits) == len(said):
                longest = max(waits, key=lambda one: one.after)
                raise Throttled(longest.sentence, longest.after, scope="connection")
            yield from said.items()


class GraphMailbox:
    """The Mailbox port over Microsoft Graph. `user` is Graph's id of the mailbox's user, or its address; `gate` is the
    name of the mailbox at the gates, the same whichever of the two `user` is."""

    def __init__(self, graph: Graph, user: str, gate: str = "") -> None:
        self._graph = graph
        self._user = user
        self._gate = gate or user

    def identity(self) -> tuple[str, tuple[str, ...]]:
        """Graph's id of the mailbox's user, and all his addresses."""
        return answers.read_user(self._graph.send(wire.user(self._user)))

    def folders(self, cursor: str = "") -> FolderRound:
        """Folder changes since `cursor`, all pages as one; raises CursorGone."""
        found, link = answers.read_folder_page(self._send(wire.folder_changes(self._user, cursor)))
        seen: set[str] = set()
        while link:
            if link in seen:
                raise CursorGone("The pages of the folder tree lead back to themselves.")
            seen.add(link)
            page, link = answers.read_folder_page(self._send(wire.follow(link)))
            found = FolderRound(found.folders + page.folders, found.removed + page.removed, page.cursor)
        return found

    def well_known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Ids of the well-known folders that exist, by name."""
        return answers.read_well_known([self._send(one) for one in wire.well_known(self._user, names)], names)

    def open_folder(self, folder: str, since: datetime) -> MailPage:
        """First page of a folder's delta from a time received on."""
        return self._page(
            lambda size: wire.open_folder(self._user, folder, since, size), wire.DELTA_PAGE, "a folder's changes"
        )

    def follow(self, link: str) -> MailPage:
        """The page behind a link; raises CursorGone, also for a page that leads to itself or a link Graph calls bad."""
        try:
            page = self._page(lambda size: wire.follow(link, size), wire.DELTA_PAGE, "a folder's changes")
        except BadItem as refused:
            raise CursorGone(refused.sentence) from None
        if page.next == link:
            raise CursorGone("A page of a folder's changes leads to itself.")
        return page

    def older(self, since: datetime | None, until: datetime, newest_first: bool) -> MailPage:
        """A page of old mail."""
        return self._page(
            lambda size: wire.older(self._user, since, until, newest_first, size), wire.LIST_PAGE, "old mail"
        )

    def changed(self, since: datetime | None, until: datetime, newest_first: bool = False) -> MailPage:
        """A page of mail by time of change."""
        return self._page(
            lambda size: wire.changed(self._user, since, until, newest_first, size), wire.LIST_PAGE, "changed mail"
        )

    def search(self, address: str) -> MailPage | None:
        """A page of what somebody with this address takes part in, or None where that cannot be searched for."""
        if not wire.searchable(address):
            return None
        return self._page(lambda size: wire.search(self._user, address, size), wire.LIST_PAGE, "a search")

    def message(self, message: str) -> Envelope | None:
        """One message by its light fields, or None."""
        return answers.read_message(self._send(wire.message(self._user, message)))

    def bodies(self, ids: Sequence[str]) -> Iterator[tuple[str, Part[Body]]]:
        """Bodies, batch by batch, so that a caller may stop between two; in place of one too large stands a word."""
        return self._batched(ids, wire.bodies, answers.read_bodies, lambda _, __: Body(wire.NOT_READ, html=False))

    def attachments(self, ids: Sequence[str]) -> Iterator[tuple[str, Part[tuple[Attachment, ...]]]]:
        """What hangs on these messages, batch by batch."""
        return self._batched(ids, wire.attachments, answers.read_attachments, Broken)

    def attachment(self, message: str, attachment: str) -> Iterator[bytes]:
        """The bytes of an attachment, piece by piece."""
        return self._graph.stream(wire.attachment_bytes(self._user, message, attachment), "an attachment", self._gate)

    def _send(self, request: Request) -> Answer:
        return self._graph.send(request, self._gate)

    def _page(self, ask: Callable[[int], Request], size: int, what: str) -> MailPage:
        """A page; one that is too large to be held is asked for again with ever fewer messages."""
        while True:
            try:
                return answers.read_page(self._send(ask(size)), what)
            except TooLarge:
                if size == 1:
                    raise
                size = max(1, size // 50)

    def _batched(
        self,
        ids: Sequence[str],
        ask: Callable[[str, Sequence[str]], Request],
        read: Callable[[Answer, Sequence[str]], Mapping[str, Part[Thing]]],
        too_large: Callable[[str, str], Part[Thing]],
    ) -> Iterator[tuple[str, Part[Thing]]]:
        """Part by part. What is unavailable is asked once more; after a throttled part nothing more is asked.

        The messages of a batch that is too large are asked for one by one; what is too large alone is `too_large`.
        """
        waiting, second, alone, size = list(ids), set[str](), set[str](), wire.BATCH
        while waiting:
            size = 1 if waiting[0] in alone else size
            asked, waiting = waiting[:size], waiting[size:]
            try:
                answer = self._send(ask(self._user, asked))
            except TooLarge as large:
                if len(asked) == 1:
                    yield asked[0], too_large(asked[0], large.sentence)
                else:
                    alone.update(asked)
                    waiting = asked + waiting
                continue
            size = wire.next_batch_size(len(asked), len(answer.body))
            found = read(answer, asked)
            # Bodies are large: raw and parsed, they are let go before their parts are worked.
            del answer
            throttled: Throttled | None = None
            for one, got in found.items():
                if isinstance(got, Throttled):
                    throttled = got
                if isinstance(got, Unavailable) and one not in second:
                    second.add(one)
                    waiting.append(one)
                else:
                    yield one, got
            if throttled is not None:
                yield from ((one, throttled) for one in waiting)
                return
