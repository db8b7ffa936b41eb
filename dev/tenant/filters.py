"""$filter and $orderby: read into a test and, for what Exchange indexes, into bounds on the time received.

A small grammar is enough: comparisons, contains(), startswith(), endswith(), and/or/not and parentheses.
Unknown names, wrong types and broken grammar are a 400; what the real service can do and this cannot is a loud 501.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from dev.tenant.exchange import bad_request, not_built

Type = Literal["time", "text", "flag", "number"]
Test = Callable[[Callable[[str], Any]], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+ -]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+)|(?P<name>[A-Za-z_][\w./]*)|(?P<sign>[(),:]))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part.lower() in text.lower(),
    "startswith": lambda text, part: text.lower().startswith(part.lower()),
    "endswith": lambda text, part: text.lower().endswith(part.lower()),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """`test` takes a function from property name to value. `names` are the properties in the order they stand there.
    `bounds` are (operator, time) on `bounded` that hold for every match."""

    test: Test
    names: tuple[str, ...]
    bounds: tuple[tuple[str, datetime], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of an expression says, while it is being read."""

    test: Test
    bounds: tuple[tuple[str, datetime], ...] = ()


def filter_of(text: str, types: Mapping[str, Type], properties: tuple[str, ...], bounded: str = "") -> Filter:
    """Read a $filter. `types` are the properties one can filter by here, `properties` all that exist."""
    reader = _Reader(text, types, properties, bounded)
    part = reader.either()
    reader.done()
    return Filter(part.test, tuple(dict.fromkeys(reader.names)), part.bounds)


def time_of(text: str) -> datetime:
    """A date or time literal; without a zone it is UTC."""
    # A plus sign that nobody encoded arrives as a blank.
    plain = re.sub(r" (?=\d\d:\d\d$)", "+", text.replace("Z", "+00:00"))
    try:
        when = datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), plain))
    except ValueError:
        raise bad_request(f"{text!r} in $filter is not a date and time.") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def order_of(text: str, types: Mapping[str, Type], properties: tuple[str, ...]) -> tuple[tuple[str, bool], ...]:
    """Read an $orderby: (property, descending) in order."""
    order = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        words = part.split()
        if len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
            raise bad_request(f"$orderby cannot be read at {part!r}.")
        order.append((_known(words[0], types, properties), len(words) == 2 and words[1].lower() == "desc"))
    return tuple(order)


def _known(name: str, types: Mapping[str, Type], properties: tuple[str, ...]) -> str:
    lower = name.lower()
    for known in types:
        if known.lower() == lower:
            return known
    if any(known.lower() == lower.split("/")[0] for known in properties):
        raise not_built(f"how to filter or sort by {name}")
    raise bad_request(f"There is no property named {name!r} to filter or sort by.")


class _Reader:
    """Recursive descent, one method per level of the grammar."""

    def __init__(self, text: str, types: Mapping[str, Type], properties: tuple[str, ...], bounded: str) -> None:
        self.names: list[str] = []
        self._text = text
        self._types = types
        self._properties = properties
        self._bounded = bounded
        self._tokens = self._split(text)
        self._at = 0

    def either(self) -> Part:
        first = self.both()
        tests = [first.test]
        while self._word("or"):
            tests.append(self.both().test)
        return first if len(tests) == 1 else Part(lambda value: any(test(value) for test in tests))

    def both(self) -> Part:
        parts = [self.one()]
        while self._word("and"):
            parts.append(self.one())
        if len(parts) == 1:
            return parts[0]
        bounds = tuple(bound for part in parts for bound in part.bounds)
        return Part(lambda value: all(part.test(value) for part in parts), bounds)

    def one(self) -> Part:
        if self._word("not"):
            inner = self.one().test
            return Part(lambda value: not inner(value))
        if self._sign("("):
            part = self.either()
            self._need(")")
            return part
        kind, text = self._next()
        if kind != "name":
            raise self._broken()
        return self._function(text.lower()) if self._peek() == ("sign", "(") else self._comparison(text)

    def done(self) -> None:
        if self._at < len(self._tokens):
            raise self._broken()

    def _comparison(self, spelled: str) -> Part:
        name = self._name(spelled)
        kind, word = self._next()
        compare = _COMPARE.get(word.lower())
        if kind != "name" or compare is None:
            raise self._broken()
        literal = self._literal(name)

        def test(value: Callable[[str], Any]) -> bool:
            own = value(name)
            if own is None or literal is None:
                return compare in (operator.eq, operator.ne) and compare(own, literal)
            return compare(own, literal)

        bounds = ((word.lower(), literal),) if name == self._bounded and isinstance(literal, datetime) else ()
        return Part(test, bounds)

    def _function(self, called: str) -> Part:
        function = _FUNCTIONS.get(called)
        if function is None:
            raise not_built(f"the filter function {called}")
        self._need("(")
        name = self._name(self._next()[1])
        self._need(",")
        part = self._literal(name)
        self._need(")")
        if not isinstance(part, str):
            raise self._broken()
        return Part(lambda value: isinstance(value(name), str) and function(value(name), part))

    def _name(self, spelled: str) -> str:
        if spelled.lower().endswith(("/any", "/all")):
            raise not_built(f"the filter over a list, {spelled}()")
        name = _known(spelled, self._types, self._properties)
        self.names.append(name)
        return name

    def _literal(self, name: str) -> Any:
        kind, text = self._next()
        wanted = self._types[name]
        match kind, wanted:
            case "name", _ if text.lower() == "null":
                return None
            case "name", "flag" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "text", "text":
                return text[1:-1].replace("''", "'")
            case "time", "time":
                return time_of(text)
            case "number", "number":
                return int(text)
        raise bad_request(f"$filter compares {name}, a {wanted}, with {text!r}, which is none.")

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise bad_request(f"$filter cannot be read at {text[at : at + 40]!r}.")
            tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            at = match.end()
        return tokens

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _word(self, word: str) -> bool:
        kind, text = self._peek()
        found = kind == "name" and text.lower() == word
        self._at += found
        return found

    def _sign(self, sign: str) -> bool:
        found = self._peek() == ("sign", sign)
        self._at += found
        return found

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise self._broken()

    def _broken(self) -> Exception:
        return bad_request(f"$filter is not well formed: {self._text!r}.")


def seconds(bounds: tuple[tuple[str, datetime], ...]) -> tuple[float | None, float | None]:
    """The narrowest span of seconds since 1970 that the bounds leave; the test still decides at its edges."""
    low: float | None = None
    high: float | None = None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for word, when in bounds:
        at = (when - epoch) / timedelta(seconds=1)
        if word in ("eq", "ge", "gt"):
            low = at if low is None else max(low, at)
        if word in ("eq", "le", "lt"):
            high = at if high is None else min(high, at)
    return low, high
