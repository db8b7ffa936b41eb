"""Addresses that are left out, as an admin or user writes them down. Pure.

A pattern is an address (`news@acme.example`), a domain (`acme.example`, the same as `*@acme.example`), or an address
with up to three stars, each for any run of characters (`no-reply*@*`, `*.acme.example`). Nothing else in it is special,
and letter case does not matter. A subdomain is another domain: `*.acme.example` is for those.

Most patterns are an address or a domain, so they are looked up, not tried one by one. The others stand behind one
regular expression that asks for little of each and cannot backtrack: its beginning, and the first letters of its
longest piece or else its last ones. An address that passes is searched for all pieces from left to right. So no pattern
and no address, whatever somebody made up, costs more than its length (S37).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain

from sync.errors import BadItem
from sync.keys import fold

PATTERN_LENGTH = 320
STARS = 3
CACHED = 8_192
_END = 1_024
_LETTERS = 8  # of a piece that an address is first asked for
_SHOWN = 80
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BETWEEN = re.compile(r"[\s,;]")
_DOMAIN = re.compile(r"[^@.]+(?:\.[^@.]+)+")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A pattern as written, and the period whose mail it concerns: from `since` on and before `until`, None is open.

    Whoever removes an exclusion sets `until` and keeps the row: mail from before that moment stays out, later mail
    comes in, nothing is filled back (F4).
    """

    pattern: str
    since: datetime | None = None
    until: datetime | None = None

    @property
    def always(self) -> bool:
        """Whether it concerns mail of every time."""
        return self.since is None and self.until is None

    def concerns(self, at: datetime | None) -> bool:
        """Whether mail of this time is concerned. Mail without a time is: it may be from any."""
        if at is None or self.always:
            return True
        moment = _aware(at)
        after = self.since is None or _aware(self.since) <= moment
        return after and (self.until is None or moment < _aware(self.until))


@dataclass(frozen=True, slots=True)
class _Glob:
    """A pattern around its stars: what an address begins with, holds in this order, and ends with."""

    first: str
    middle: tuple[str, ...]
    last: str

    def fits(self, address: str) -> bool:
        """Whether an address is such a one. The leftmost place of a piece is always good enough for the next."""
        at, end = len(self.first), len(address) - len(self.last)
        if at > end or not (address.startswith(self.first) and address.endswith(self.last)):
            return False
        for piece in self.middle:
            found = address.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class _Forms:
    """Patterns by how they are found. A domain with fewer `dots` has none of the endings; an address that fits a glob
    `seems` to."""

    exact: Mapping[str, Sequence[Exclusion]]
    domains: Mapping[str, Sequence[Exclusion]]
    locals: Mapping[str, Sequence[Exclusion]]
    endings: Mapping[str, Sequence[Exclusion]]
    dots: int
    globs: Sequence[tuple[_Glob, Exclusion]]
    seems: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Exclusions:
    """A list of exclusions, ready to be asked. Safe to share between threads; answers are remembered for a while."""

    _find: Callable[[str], tuple[Exclusion, ...]]
    _remembered: Callable[[str], tuple[Exclusion, ...]]

    @staticmethod
    def of(patterns: Iterable[Exclusion | str]) -> Exclusions:
        """Read patterns; a bare text concerns mail of every time. Raises BadItem that names the pattern and why."""
        forms = _sorted_by_form(Exclusion(one) if isinstance(one, str) else one for one in patterns)
        find = partial(_found, forms)
        return Exclusions(find, lru_cache(CACHED)(find))

    def why(self, address: str, at: datetime | None = None) -> str | None:
        """The pattern, as written, that excludes an address for mail of the time `at`; None if there is none.

        What is no address (without an @) is excluded by nothing. Of several the narrowest kind is told: an address
        before a domain, a domain before what has other stars. Beyond 2,048 characters the middle is not looked at.
        """
        # Nothing longer is an address: it must not fill the memory of answers.
        find = self._remembered if len(address) <= PATTERN_LENGTH else self._find
        for one in find(address):
            if one.concerns(at):
                return one.pattern
        return None


def check(pattern: str) -> str:
    """The pattern as it is compared: folded, a domain with its `*@`. Raises BadItem that names it and why."""
    folded = fold(pattern)
    if not folded:
        raise _refused(pattern, "The pattern is empty.")
    if len(folded) > PATTERN_LENGTH:
        raise _refused(pattern, f"A pattern can have {PATTERN_LENGTH} characters, not {len(folded)}.")
    if _CONTROLS.search(folded):
        raise _refused(pattern, "The pattern has control characters.")
    if _BETWEEN.search(folded):
        raise _refused(pattern, "A pattern has no spaces, commas or semicolons: write each one by itself.")
    if folded.count("*") > STARS:
        raise _refused(pattern, f"A pattern can have {STARS} stars, not {folded.count('*')}.")
    if "*" in folded:
        if not folded.strip("*@."):
            raise _refused(pattern, "The pattern would exclude everything.")
        return folded
    local, at, domain = folded.rpartition("@")
    if not local and _DOMAIN.fullmatch(domain):  # acme.example, and @acme.example, which can mean nothing else
        return f"*@{domain}"
    if not (local and domain):
        sentence = "This is neither an address nor a domain: write news@acme.com, acme.com, or use a star (*)."
        raise _refused(pattern, sentence)
    return f"{local}{at}{domain}"


def _refused(pattern: str, sentence: str) -> BadItem:
    shown = _CONTROLS.sub("?", pattern.strip())
    return BadItem(shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}...", sentence)


def _sorted_by_form(exclusions: Iterable[Exclusion]) -> _Forms:
    exact, locals_, domains, endings = (defaultdict[str, list[Exclusion]](list) for _ in range(4))
    globs: list[tuple[_Glob, Exclusion]] = []
    for one in exclusions:
        folded = check(one.pattern)
        first, star, rest = folded.partition("*")
        *pieces, last = rest.split("*")
        middle = tuple(filter(None, pieces))
        if not star:
            exact[folded].append(one)
        elif not middle and not last and first.count("@") == 1 and first.endswith("@"):
            locals_[first[:-1]].append(one)
        elif not middle and not first and last.count("@") == 1 and last.startswith("@"):
            domains[last[1:]].append(one)
        elif not first and middle in ((), ("@",)) and last.startswith(".") and "@" not in last:
            endings[last].append(one)
        else:
            globs.append((_Glob(first, middle, last), one))
    globs.sort(key=lambda one: (not one[0].first, not one[0].last))
    return _Forms(
        exact=dict(exact),
        domains=dict(domains),
        locals=dict(locals_),
        endings=dict(endings),
        dots=min((ending.count(".") for ending in endings), default=PATTERN_LENGTH),
        globs=globs,
        seems=_seems(glob for glob, _ in globs),
    )


def _seems(globs: Iterable[_Glob]) -> Callable[[str], object]:
    """Whether an address may fit one of them. One star for each, and nothing behind it that could make it try again."""
    asked: dict[str, None] = {}
    for glob in globs:
        piece = max((piece for piece in glob.middle if piece != "@"), key=len, default="")[:_LETTERS]
        last = f".*+(?<={re.escape(glob.last[-_LETTERS:])})" if glob.last else ""
        rest = f".*{re.escape(piece)}" if piece else last
        asked[f"{re.escape(glob.first)}{rest}"] = None
    return re.compile("|".join(asked) or "(?!)", re.DOTALL).match


def _found(forms: _Forms, address: str) -> tuple[Exclusion, ...]:
    """Every exclusion of an address, the narrowest kind first; nothing after one that concerns all times."""
    folded = fold(address)
    if len(folded) > 2 * _END:
        # No pattern is long enough to reach from an end to the seam, and none contains it.
        folded = f"{folded[:_END]}\0{folded[-_END:]}"
    local, at, domain = folded.partition("@")
    if not at:
        return ()
    if "@" in domain:
        domain = domain.rpartition("@")[2]
    exact, whole, same = forms.exact.get(folded, ()), forms.domains.get(domain, ()), forms.locals.get(local, ())
    ends = _ends(forms.endings, domain) if domain.count(".") >= forms.dots else ()
    seems = forms.seems(folded)
    if not (seems or exact or whole or same or ends):
        return ()
    found: list[Exclusion] = []
    fitting = (one for glob, one in forms.globs if seems and glob.fits(folded))
    for one in chain(exact, whole, same, *ends, fitting):
        found.append(one)
        if one.always:
            break
    return tuple(found)


def _ends(endings: Mapping[str, Sequence[Exclusion]], domain: str) -> list[Sequence[Exclusion]]:
    """Exclusions of the domains above this one, the longest first."""
    found = []
    dot = domain.find(".")
    while dot >= 0:
        here = endings.get(domain[dot:])
        if here:
            found.append(here)
        dot = domain.find(".", dot + 1)
    return found


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
