"""What a mail says, made safe to show and plain to search. Pure.

Kept: text, tables, links to http, https and mailto, images that came with the mail (`cid:`).
Gone: scripts, forms, styles that load, remote images (they tell the sender who read what; engine.md S25, S26).
"""

from __future__ import annotations

import re

import nh3
from selectolax.lexbor import LexborHTMLParser

from sync.model import Body

SCHEMES = {"http", "https", "mailto"}
_IMAGE = re.compile(r"<img", re.IGNORECASE)
_ODD_SPACES = re.compile(r"[\t\r\f\v\u00a0]")
_BLANK_LINES = re.compile(r"\n\s*\n\s*")
# In clean HTML every tag is spelled one way, so a pattern may find where a block ends a line and a cell a word.
_BLOCK_END = re.compile(r"</(?:p|div|tr|li|h[1-6]|blockquote|pre|table|ul|ol|article|section)>|<[bh]r>")
_CELL_END = re.compile(r"</t[dh]>")


def _only_own_images(tag: str, attribute: str, value: str) -> str | None:
    if tag == "img" and attribute == "src" and not value.lower().startswith("cid:"):
        return None
    return value


_plain = nh3.Cleaner(url_schemes=SCHEMES)
_with_images = nh3.Cleaner(url_schemes=SCHEMES | {"cid"}, attribute_filter=_only_own_images)


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
    words = _ODD_SPACES.sub(" ", body.text() if body else "")
    # Plain replacing: a pattern would stop at every single space of a mail.
    while "  " in words:
        words = words.replace("  ", " ")
    return _BLANK_LINES.sub("\n\n", words.replace(" \n", "\n").replace("\n ", "\n")).strip()


def readable(body: Body) -> tuple[str, str]:
    """Safe HTML and plain text of a body; a plain-text mail has no HTML."""
    if not body.html:
        return "", body.content.replace("\r\n", "\n").strip()
    html = clean(body.content)
    return html, text_of(html)
