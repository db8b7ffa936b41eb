"""$search over messages: property:value and plain words, joined by AND, OR and NOT (KQL in small).

A value with an @ is an address and matches whole; other words match the beginnings of words, whatever their case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from dev.firm import Party
from dev.tenant.exchange import Refusal, bad_request, not_built
from dev.tenant.mail import Message
from dev.tenant.meetings import files_of

MOST_FOUND = 1000
Match = Callable[[Message], bool]

_TERM = re.compile(r'\s*(?:(?P<name>[A-Za-z]+):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))')
_PEOPLE: dict[str, Callable[[Message], Iterator[Party | None]]] = {
    "from": lambda message: iter((message.mail.author, message.mail.sender)),
    "to": lambda message: iter(message.mail.to),
    "cc": lambda message: iter(message.mail.cc),
    "bcc": lambda message: iter(message.mail.bcc),
    "recipients": lambda message: iter((*message.mail.to, *message.mail.cc, *message.mail.bcc)),
    "participants": lambda message: iter(
        (message.mail.author, message.mail.sender, *message.mail.to, *message.mail.cc, *message.mail.bcc)
    ),
}
_TEXTS: dict[str, Callable[[Message], str]] = {
    "subject": lambda message: message.mail.subject,
    "body": lambda message: message.text(),
    "attachment": lambda message: " ".join(file.name for file in files_of(message.mail)),
}


def check_alone(options: dict[str, str]) -> None:
    """Refuse what cannot stand beside $search."""
    for name, code in (("$filter", "SearchWithFilter"), ("$orderby", "SearchWithOrderBy")):
        if options.get(name, "").strip():
            raise Refusal(400, code, f"{name} is not supported together with $search.")


def search_of(text: str) -> Match:
    """Read a $search; it stands in double quotes, those inside are escaped."""
    inner = text.strip()
    if len(inner) > 1 and inner[0] == inner[-1] == '"':
        inner = inner[1:-1].replace('\\"', '"')
    if not inner.strip():
        raise bad_request("$search is empty.")
    if re.search(r"[()]", re.sub(r'"[^"]*"', "", inner)):
        raise not_built("parentheses in $search")
    either: list[list[Match]] = [[]]
    negated, at = False, 0
    while inner[at:].strip():
        found = _TERM.match(inner, at)
        if found is None:
            raise bad_request(f"$search cannot be read at {inner[at : at + 40]!r}.")
        at = found.end()
        match (found["name"], found["bare"]):
            case None, "OR":
                either.append([])
            case None, "AND":
                continue
            case None, "NOT":
                negated = True
            case name, bare:
                either[-1].append(_term(name or "", bare if bare is not None else found["quoted"], negated))
                negated = False
    return lambda message: any(terms and all(term(message) for term in terms) for terms in either)


def _term(name: str, value: str, negated: bool) -> Match:
    match = _matcher(name.lower(), value)
    return (lambda message: not match(message)) if negated else match


def _matcher(name: str, value: str) -> Match:
    if name in _PEOPLE:
        return lambda message: any(_is(one, value) for one in _PEOPLE[name](message) if one)
    if name in _TEXTS:
        return lambda message: _says(_TEXTS[name](message), value)
    if name == "hasattachments":
        return lambda message: bool(message.light["hasAttachments"]) == (value.lower() == "true")
    if name:
        raise not_built(f"the search property {name}")
    return lambda message: (
        _says(message.mail.subject, value)
        or any(_is(one, value) for one in _PEOPLE["participants"](message) if one)
        or _says(message.text(), value)
    )


def _is(party: Party, value: str) -> bool:
    if "@" in value:
        return party.address.lower() == value.lower()
    return _says(f"{party.name} {party.address}", value)


def _says(text: str, value: str) -> bool:
    pattern = r"\W+".join(map(re.escape, re.findall(r"\w+", value.rstrip("*"))))
    return bool(pattern) and re.search(rf"(?<!\w){pattern}", text, re.IGNORECASE) is not None
