"""Address headers as they are met: groups, comments, route addresses, several addresses without a comma, no address."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dev.firm import Party
from dev.mailparse import QUOTED, one_line, uncommented, words

_TOKEN = re.compile(
    r"""
      =\?[^?\s]{1,60}\?[bBqQ]\?[^?]{0,800}\?=      # an encoded word is one token: it may hold a raw comma
    | "(?:[^"\\]|\\.){0,800}"                      # so is a quoted string
    | <[^<>]{0,800}>                               # and an address in brackets
    | \[[^\[\]]{0,80}\]                            # and a domain literal with its colons
    | \((?:[^()\\]|\\.|\([^()]{0,200}\)){0,400}\)  # and a comment, with one more inside
    | .
    """,
    re.S | re.X,
)
_USABLE = re.compile(
    r"[^\s@<>()\[\],;:\\\"\x00-\x20\x7f]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]"
)


def usable(address: str) -> bool:
    """Whether mail could be sent there: one @, no spaces, a domain with a dot."""
    return len(address) <= 254 and bool(_USABLE.fullmatch(address)) and not re.search(r"^\.|\.\.|\.@", address)


def parties(text: str) -> tuple[Party, ...]:
    """The parties of an address header, in order; group names are left out, a name without an address is kept."""
    found: list[Party] = []
    for tokens in _mailboxes(text):
        found.extend(_parties(tokens))
    return tuple(found)


def _mailboxes(text: str) -> Iterator[list[str]]:
    tokens: list[str] = []
    complete = False
    for one in _TOKEN.findall(text):
        if one in (",", ";") or (complete and not (one.isspace() or _comment(one))):
            yield tokens
            tokens, complete = [], False
        if one == ":":
            tokens, complete = [], False  # what stood before it names a group
        elif one not in (",", ";"):
            tokens.append(one)
            complete = complete or _angle(one)
    yield tokens


def _angle(token: str) -> bool:
    return len(token) > 1 and token.startswith("<") and token.endswith(">")


def _comment(token: str) -> bool:
    return len(token) > 1 and token.startswith("(") and token.endswith(")")


def _parties(tokens: list[str]) -> list[Party]:
    rest = [token for token in tokens if not _comment(token)]
    note = one_line(words(" ".join(token[1:-1] for token in tokens if _comment(token))))
    angle = next((token for token in rest if _angle(token)), "")
    if angle:
        party = Party(_name("".join(rest[: rest.index(angle)])) or note, _address(angle[1:-1]))
        return [party] if party.name or party.address else []
    # Old mail may have spaces around the dots of a domain.
    plain = re.sub(r"\s*([.@])\s*(?=\S)", r"\1", one_line("".join(rest))) if "@" in rest else one_line("".join(rest))
    addresses = [piece for piece in re.findall(r'(?:"[^"]*"|[^\s"])+', plain) if "@" in piece]
    if addresses:
        return [Party(note if len(addresses) == 1 else "", _address(_bare(one))) for one in addresses]
    name = _name(plain)
    return [Party(name, "")] if name else []


def _name(text: str) -> str:
    unquoted = re.sub(QUOTED, lambda quoted: re.sub(r"\\(.)", r"\1", quoted[0][1:-1]), text, flags=re.S)
    return one_line(words(one_line(unquoted))).strip("\"'").strip()


def _bare(text: str) -> str:
    return re.sub(r'^"([^"]*)"$', r"\1", text.strip("<>"))


def _address(text: str) -> str:
    plain = re.sub(r"\s+", "", uncommented(text)) if '"' not in text else text.strip()
    if plain.startswith("@") and ":" in plain:
        plain = plain.split(":", 1)[1]  # a route through other hosts
    return one_line(words(plain.removeprefix("mailto:"))).strip("'")
