"""Pages spoiled by a fault: empty, leading to themselves or to another host, with an item that was told before."""

from __future__ import annotations

from dev.tenant.exchange import Answer, Json
from dev.tenant.faults import Fault

# An id that no mailbox here ever gave out.
STRANGER = "AAkA" + "c3RyYW5nZXI" * 10 + "A="


def spoiled(fault: Fault, said: Answer, url: str, before: Json | None) -> Answer:
    """A page as the fault wants it; an answer that is no page stays. `url` is what was asked, `before` an item of the
    page before it."""
    page = said.payload
    if not isinstance(page, dict) or not isinstance(page.get("value"), list):
        return said
    link = "@odata.nextLink" if "@odata.nextLink" in page or fault.kind != "foreign_link" else "@odata.deltaLink"
    bare = {name: value for name, value in page.items() if name not in ("@odata.nextLink", "@odata.deltaLink")}
    match fault.kind:
        case "empty_page":
            page = {**bare, "@odata.nextLink": url, "value": []}
        case "next_loop":
            page = {**bare, "@odata.nextLink": url}
        case "foreign_link":
            page = {**bare, link: fault.link}
        case "removed_stranger":
            page = {**page, "value": [*page["value"], {"id": STRANGER, "@removed": {"reason": "deleted"}}]}
        case "item_again" if before is not None:
            page = {**page, "value": [before, *page["value"]]}
    return Answer(page, said.status, said.headers)
