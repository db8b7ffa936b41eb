"""How the service may behave within what it promises, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Switches:
    """Off means the plainest behaviour. `tenant.switches` may be replaced while it runs, but for the two of ids.

    Pages and deltas
    shuffle_batch              a batch is answered in another order than asked
    empty_pages_with_nextlink  an empty page, with a nextLink, precedes each page of a delta and the first of a list
    replay_pages               a delta page begins with a few changes that earlier pages told already
    reorder_delta              the changes on a delta page stand in no order
    duplicate_items            a delta page holds one of its items twice
    immutable_move_loses       with immutable ids, moved out and back between two rounds is told as deleted only
    old_changes_pass_filter    a filtered delta later tells of changes to messages older than its filter
    delta_ignores_top          a delta's $top does nothing (seen in 2019); only odata.maxpagesize sets the page
    gone_without_location      the 410 for a lost delta state names no place to start again
    gone_status                the status of that answer: 410, or a 40x as some have seen
    lag_seconds                lists, searches and deltas show the mailbox as it was so many seconds ago;
                               what is read by its id is fresh
    page_size_cap              no page of anything holds more than this

    Ids (read when the tenant is made)
    one_message_without_id     one message of each mailbox is served without its id
    case_twins                 every second message has an id that differs from its neighbour's in letter case only

    Limits
    concurrency                requests under way at once beyond four are refused: counted per "mailbox", or per "app"
                               whatever the mailbox (both readings of the documentation); None refuses nothing
    quota                      requests an app may make to one mailbox in ten minutes; None for no limit
    strict_depends_on          only the three shapes of dependsOn that work in production are taken

    Writing and sending
    ignore_if_match            If-Match on a change does nothing
    send_seconds               a sent mail stays in the Outbox so long before it is delivered and in Sent Items
    sent_gets_new_id           the copy in Sent Items has another immutable id than the draft had
    sent_gets_new_message_id   sending gives the mail another Message-ID than the draft had
    most_recipients            a mail to more comes back as undeliverable, after a 202
    upload_host                the host of upload URLs (outlook.office.com in truth); empty: the one the client used
    """

    shuffle_batch: bool = False
    empty_pages_with_nextlink: bool = False
    replay_pages: bool = False
    reorder_delta: bool = False
    duplicate_items: bool = False
    immutable_move_loses: bool = False
    old_changes_pass_filter: bool = False
    delta_ignores_top: bool = False
    gone_without_location: bool = False
    gone_status: int = 410
    lag_seconds: float = 0
    page_size_cap: int | None = None
    one_message_without_id: bool = False
    case_twins: bool = False
    concurrency: Literal["mailbox", "app"] | None = None
    quota: int | None = 10_000
    strict_depends_on: bool = False
    ignore_if_match: bool = False
    send_seconds: float = 0
    sent_gets_new_id: bool = False
    sent_gets_new_message_id: bool = False
    most_recipients: int = 500
    upload_host: str = ""
