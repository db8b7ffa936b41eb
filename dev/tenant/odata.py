"""Query options and Prefer headers as Graph reads them: names in any case, with or without the dollar sign."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote

from dev.tenant.exchange import Refusal, bad_request, not_built

_SYSTEM = (
    "select",
    "filter",
    "orderby",
    "top",
    "skip",
    "expand",
    "count",
    "search",
    "skiptoken",
    "deltatoken",
    "format",
)
_PREFER = re.compile(r'\s*([\w.-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,;]*)))?\s*[,;]?')
_CAST = re.compile(r"microsoft\.graph\.\w+/(\w+)", re.IGNORECASE)
_KEYED = re.compile(r"([\w$.]+)\('(.*)'\)")

MOST = 1000


@dataclass(frozen=True, slots=True)
class Query:
    """The options of one request by lower-case name, system options with their dollar sign."""

    options: Mapping[str, str]

    def get(self, name: str) -> str:
        """An option's text, empty where it is missing."""
        return self.options.get(name, "")

    def flag(self, name: str) -> bool:
        """Whether an option says true."""
        return self.get(name).strip("'").lower() == "true"

    def number(self, name: str, low: int, high: int | None = None) -> int | None:
        """A whole number within bounds, None where it is missing; a 400 otherwise."""
        if name not in self.options:
            return None
        text = self.options[name].strip()
        if not text.isdigit() or int(text) < low or (high is not None and int(text) > high):
            limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
            raise bad_request(f"The query option {name} takes a whole number {limits}, not {text!r}.")
        return int(text)


@lru_cache(maxsize=1024)
def query_of(text: str) -> Query:
    """Read a query string; an unknown system option is a 400, as is one given twice."""
    options: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        key = name.lower()
        if key in _SYSTEM:
            key = "$" + key
        if key.startswith("$") and key[1:] not in _SYSTEM:
            raise bad_request(f"The query option {name!r} does not exist.")
        if key in options:
            raise bad_request(f"The query option {name!r} is given twice.")
        options[key] = value
    return Query(options)


def refuse_unbuilt(query: Query, *names: str) -> None:
    """The loud answer to options that this tenant does not imitate on this route."""
    for name in names:
        if query.get(name):
            raise not_built(f"the query option {name} here")


def next_query(text: str, **changes: str) -> str:
    """The same query string with some options replaced, fully encoded as in Graph's nextLinks."""
    pairs = [(name, value) for name, value in parse_qsl(text, keep_blank_values=True) if _plain(name) not in changes]
    pairs += [("$" + name, value) for name, value in changes.items()]
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def _plain(name: str) -> str:
    return name.lower().removeprefix("$")


def selected(
    query: Query, properties: Sequence[str], default: Sequence[str], kind: str, derived: Sequence[str] = ()
) -> tuple[str, ...]:
    """The properties that $select names, in their own spelling; Graph's default ones without it.

    `derived` are properties of derived types, which are named with their type: microsoft.graph.eventMessage/type.
    """
    return _selected(query.get("$select"), tuple(properties), tuple(default), kind, tuple(derived))


@lru_cache(maxsize=256)
def _selected(
    select: str, properties: tuple[str, ...], default: tuple[str, ...], kind: str, derived: tuple[str, ...]
) -> tuple[str, ...]:
    if not select.strip():
        return default
    known = {name.lower(): name for name in properties}
    names: list[str] = []
    for part in select.split(","):
        asked = part.strip().split("/")[0]
        cast = _CAST.fullmatch(part.strip())
        if cast and cast[1].lower() in {name.lower(): name for name in derived}:
            names.append({name.lower(): name for name in derived}[cast[1].lower()])
            continue
        if asked == "*":
            names += default
        elif asked.lower() in known:
            names.append(known[asked.lower()])
        elif asked:
            raise bad_request(f"$select names {asked!r}, which is not a property of microsoft.graph.{kind}.")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Prefer:
    """What the Prefer header asks for, and the part of it that is answered in Preference-Applied."""

    immutable: bool = False
    text: bool = False
    page: int | None = None
    applied: str = ""


@lru_cache(maxsize=64)
def prefer_of(header: str) -> Prefer:
    """Read a Prefer header; what is not understood is ignored, as the standard says."""
    immutable, text, page, applied = False, False, None, []
    for name, quoted, bare in _PREFER.findall(header):
        value = (quoted or bare).lower()
        match name.lower(), value:
            case "idtype", "immutableid":
                immutable = True
                applied.append('IdType="ImmutableId"')
            case "outlook.body-content-type", "text" | "html":
                text = value == "text"
                applied.append(f'outlook.body-content-type="{value}"')
            case "odata.maxpagesize", size if size.isdigit() and int(size) > 0:
                page = min(int(size), MOST)
                applied.append(f"odata.maxpagesize={size}")
    return Prefer(immutable, text, page, ", ".join(applied))


@lru_cache(maxsize=1024)
def segments_of(path: str) -> tuple[str, ...]:
    """A path as plain segments: doubled slashes dropped, keys in parentheses as segments too, delta() as delta."""
    out: list[str] = []
    for raw in path.split("/"):
        segment = unquote(raw)
        keyed = _KEYED.fullmatch(segment)
        if keyed:
            out += [keyed[1], keyed[2].replace("''", "'")]
        elif segment:
            plain = segment.removesuffix("()")
            out.append("delta" if plain.lower() == "microsoft.graph.delta" else plain)
    return tuple(out)


def too_complex(why: str) -> Refusal:
    """Exchange's answer to restrictions and orders it has no index for."""
    return Refusal(400, "InefficientFilter", f"The restriction or sort order is too complex: {why}")
