"""What a mail says, made safe to show and plain to search. Pure.

Kept: text, tables, links to http, https and mailto, images that came with the mail (`cid:`).
Gone: scripts, forms, styles that load, remote images (they tell the sender who read what; S25, S26).

A browser's way of reading HTML is not linear: unclosed tags nest, each block opens all unclosed letter styles again,
and each attribute of a tag is compared with all others. So HTML whose reading would take more than about a second or
100 MB is never parsed (S38); its words are kept, found in one pass. Nobody writes such HTML by hand or by program:
mails have some thousand tags, some ten levels deep.
"""

from __future__ import annotations

import html as entities
import re

import nh3
from selectolax.lexbor import LexborHTMLParser

from sync.model import Body

SCHEMES = {"http", "https", "mailto"}
# So few tags on so little text are read in less than half a second whatever they are: measured, the worst are
# letter styles that every paragraph opens again, which cost the product of both figures.
FEW_TAGS, FEW_CHARACTERS, SMALL = 800, 64_000, 20_000_000
# More than this costs half a second and 100 MB even where it is well-formed.
MOST_TAGS, MOST_CHARACTERS = 100_000, 4_000_000
DEPTH = 500
ATTRIBUTES = 500  # of one tag
NODE = 60  # what an element costs in the characters it is read from, beside its own
GROWTH = 10_000_000  # what unclosed letter styles may add, in such characters
PIECE = 1_000_000  # of a text that is too large

CUT = "[The rest of this mail was too large to be kept.]"
NOT_HTML = "[The rest of this mail was too large or too deeply nested to be kept as HTML.]"

_IMAGE = re.compile(r"<im", re.IGNORECASE)  # <image> is read as <img>
_NOT_PRINTED = re.compile(r"[\x00-\x20]+")
_ODD_SPACES = re.compile(r"[\t\r\f\v\u00a0]")
_BLANK_LINES = re.compile(r"\n\s*\n\s*")
# In clean HTML every tag is spelled one way, so a pattern may find where a block ends a line and a cell a word.
_BLOCK_END = re.compile(r"</(?:p|div|tr|li|h[1-6]|blockquote|pre|table|ul|ol|article|section)>|<[bh]r>")
_CELL_END = re.compile(r"</t[dh]>")

# The tokens of https://html.spec.whatwg.org/multipage/parsing.html#tokenization. Every alternative takes what it began
# with, to the end of the text if need be, and none looks back: one pass.
_GAP = r"[\t\n\f\r ]"
_ATTRIBUTE = (
    r"[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"
    rf"(?:{_GAP}*+={_GAP}*+"
    r"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >"'][^\t\n\f\r >]*+|(?=>|\Z)))?+"""
)
_ATTRIBUTES = rf"(?:{_ATTRIBUTE})*+[\t\n\f\r /]*+"
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?:[!?]|/(?![a-z]))[^>]*+>?"
    rf"|<(?P<raw>script|style|title|textarea|xmp|iframe|noembed|noframes)(?=[\t\n\f\r />])({_ATTRIBUTES})(?:>|\Z)"
    r".*?(?=</(?P=raw)[\t\n\f\r />]|\Z)"
    rf"|<(?P<end>/?)(?P<name>[a-z][^\t\n\f\r />]*+)({_ATTRIBUTES})(?:>|\Z)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_EACH_ATTRIBUTE = re.compile(_ATTRIBUTE)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What holds nothing, and what stands in a table and nowhere else.
_FLAT = _words(
    "area base basefont bgsound br col embed frame hr img image input keygen link meta param source track wbr "
    "html head body frameset tr tbody thead tfoot colgroup caption"
)
_OTHER_RULES = _words("svg math select template plaintext noscript")  # within these a tag may mean nothing
_NAMES = {"th": "td", "dt": "dd"}  # told apart by nothing here
_STYLES = _words("a b big code em font i nobr s small strike strong tt u")
_AGAIN = _words("a p li dd td")  # the next one ends the one before
_WALLS = _words("table td object applet marquee")  # an end tag within ends nothing outside
_BLOCKS = _WALLS | _words(
    "address article aside blockquote button center dd details dir div dl fieldset figcaption figure footer form "
    "header h1 h2 h3 h4 h5 h6 hgroup li listing main menu nav ol p pre search section summary ul"
)


def _only_own_images(tag: str, attribute: str, value: str) -> str | None:
    own = _NOT_PRINTED.sub("", value[:100]).lower().startswith("cid:")
    if tag == "img" and attribute == "src":
        return value if own else None
    return None if attribute == "href" and own else value


# Addresses of quoted pages (`cite`) and places within this page (no scheme) are of no use in a CRM.
_KEPT_ATTRIBUTES = {tag: names - {"cite"} for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
_plain = nh3.Cleaner(
    tags=nh3.ALLOWED_TAGS - {"img"},
    attributes=_KEPT_ATTRIBUTES,
    url_schemes=SCHEMES,
    url_relative="deny",
)
_with_images = nh3.Cleaner(
    attributes=_KEPT_ATTRIBUTES,
    url_schemes=SCHEMES | {"cid"},
    url_relative="deny",
    attribute_filter=_only_own_images,
)


def clean(html: str) -> str:
    """Safe HTML: nothing active, nothing that calls home."""
    # The filter is called back for each attribute of the mail, so it runs only where there are images.
    return (_with_images if _IMAGE.search(html) else _plain).clean(html)


def text_of(html: str) -> str:
    """The words of clean HTML, a line for each block."""
    # A line break in the source is a space, but for text set as it was typed.
    flowing = html if "<pre" in html else html.replace("\n", " ")
    lined = _BLOCK_END.sub("\\g<0>\n", _CELL_END.sub("\\g<0> ", flowing))
    body = LexborHTMLParser(lined).body
    return _tidy(body.text() if body else "")


def readable(body: Body) -> tuple[str, str]:
    """Safe HTML and plain text of a body; a plain-text mail has no HTML, and neither has one that costs too much.

    What is left out is said in the last line of the text; half of a surrogate pair is a question mark.
    """
    said = body.content if body.content.isascii() else body.content.encode("utf-8", "replace").decode()
    if not body.html:
        text = said.replace("\r\n", "\n").strip()
        return "", text if len(text) <= MOST_CHARACTERS else f"{text[:PIECE].rstrip()}\n{CUT}"
    if affordable(said):
        html = clean(said)
        if len(html) <= 4 * len(said) + PIECE:
            return html, text_of(html)
    words = entities.unescape(_TOKEN.sub(_gap, said[:PIECE].replace("\n", " ")))
    return "", f"{_tidy(words)}\n{NOT_HTML}".lstrip()


def affordable(html: str) -> bool:
    """Whether this HTML can be parsed within about a second and 100 MB; takes time in proportion to its length.

    An element counts as open until an end tag surely ends it for every reader. A larger mail with a drawing or a form
    field that follows rules of its own is not looked into.
    """
    tags = html.count("<")
    if tags <= FEW_TAGS and len(html) <= FEW_CHARACTERS and tags * len(html) <= SMALL:
        return True
    if tags > MOST_TAGS or len(html) > MOST_CHARACTERS:
        return False
    names: list[str] = []  # open elements, the innermost last
    sizes: list[int] = []  # what each costs where it is opened again
    growth = again = 0
    for raw, raw_inside, end, spelled, inside in _TOKEN.findall(html):
        growth += again
        attributes = raw_inside or inside
        if growth > GROWTH or len(names) > DEPTH or (len(attributes) > ATTRIBUTES and _crowded(attributes)):
            return False
        name = spelled.lower()
        if raw or name in _FLAT or not name:
            continue
        if name in _OTHER_RULES:
            return False
        name = _NAMES.get(name, name)
        if end and names and names[-1] == name:  # the way it nearly always is
            names.pop()
            again -= sizes.pop()
            continue
        if end or (name in _AGAIN and name in names):
            again -= _end(names, sizes, name, again=not end)
        if not end:
            names.append(name)
            sizes.append(len(attributes) + NODE if name in _STYLES else 0)
            again += sizes[-1]
    return True


def _crowded(attributes: str) -> bool:
    return len(_EACH_ATTRIBUTE.findall(attributes)) > ATTRIBUTES


def _end(names: list[str], sizes: list[int], name: str, again: bool) -> int:
    """End the innermost such element, where it surely ends here; returns what that saves."""
    if name not in names:
        return 0
    place, blocks = len(names) - 1, 0
    while names[place] != name:
        there = names[place]
        blocks += there in _BLOCKS
        if _stops(name, there, blocks, again):
            return 0
        place -= 1
    # A letter style, or a form, that ends leaves what it holds open; anything else leaves the letter styles it holds.
    kept = [at for at in range(place + 1, len(names)) if sizes[at] or name in _STYLES or name == "form"]
    saved = sizes[place]
    names[place:] = [names[at] for at in kept]
    sizes[place:] = [sizes[at] for at in kept]
    return saved


def _stops(name: str, there: str, blocks: int, again: bool) -> bool:
    """Whether an end tag of this name goes no further out than an element `there`."""
    if name in ("table", "td"):
        return there == "table"
    if there in _WALLS:
        return True
    if name in _STYLES:
        return blocks > 6  # a reader takes eight steps outwards and leaves the rest open
    if name in _BLOCKS and not again:
        return False
    return there not in _STYLES if name not in _BLOCKS else there in _BLOCKS


def _gap(token: re.Match[str]) -> str:
    """What is read in place of a tag: a new line or nothing."""
    name = str(token["name"] or "").lower()
    return "\n" if name in _BLOCKS or name in ("br", "hr", "tr") else " " if name == "td" else ""


def _tidy(words: str) -> str:
    """One space between words, at most one empty line between lines."""
    words = _ODD_SPACES.sub(" ", words)
    # Plain replacing: a pattern would stop at every single space of a mail.
    while "  " in words:
        words = words.replace("  ", " ")
    return _BLANK_LINES.sub("\n\n", words.replace(" \n", "\n").replace("\n ", "\n")).strip()
