"""What is left of a mail's body."""

from __future__ import annotations

import pytest

from sync.content import clean, readable, text_of
from sync.model import Body


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='java&#115;cript:alert(1)'>x</a>",
        "<iframe src='https://x.example'></iframe>",
        "<form action='https://x.example'><input name=a></form>",
        "<svg onload=alert(1)></svg>",
        "<p style='background:url(https://x.example)'>x</p>",
        "<meta http-equiv=refresh content='0;url=https://x.example'>",
        "<base href='https://x.example'>",
        "<object data='https://x.example'></object>",
        "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    ],
)
def test_nothing_active_is_left(evil):
    safe = clean(f"<p>before</p>{evil}<p>after</p>").lower()

    assert "before" in safe
    assert "after" in safe
    for sign in ("script", "onerror", "onload", "x.example", "<form", "<iframe", "style=", "<meta", "<base", "<object"):
        assert sign not in safe


@pytest.mark.parametrize("source", ["https://x.example/p.gif", "HTTP://x.example/p.gif", "//x.example/p.gif", "p.gif"])
def test_an_image_from_elsewhere_is_not_loaded(source):
    assert "p.gif" not in clean(f"<p>x</p><img alt=pixel src='{source}'>")


def test_an_image_that_came_with_the_mail_stays():
    assert 'src="cid:logo"' in clean("<img src='cid:logo'>")


def test_a_cid_address_is_for_images_only():
    assert "cid:" not in clean("<a href='cid:logo'>x</a>")


def test_a_link_stays_and_says_no_word_about_where_it_came_from():
    assert (
        clean("<a href='https://x.example/a'>x</a>") == '<a href="https://x.example/a" rel="noopener noreferrer">x</a>'
    )


def test_blocks_are_lines_and_cells_are_words():
    html = (
        "<p>Dear <b>Ada</b>,</p>\n<div>one<br>two</div><table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"
    )

    assert text_of(clean(html)).split("\n") == ["Dear Ada,", "one", "two", "a b", "c"]


def test_runs_of_spaces_are_one():
    assert text_of(clean("<p>a   b \t c&nbsp;&nbsp;d</p>")) == "a b c d"


def test_typed_lines_stay_as_typed():
    assert text_of(clean("<pre>one\ntwo</pre>")) == "one\ntwo"


def test_a_plain_mail_has_text_only():
    assert readable(Body("one\r\ntwo\r\n", html=False)) == ("", "one\ntwo")


def test_a_mail_in_html_has_both():
    assert readable(Body("<p>one</p>", html=True)) == ("<p>one</p>", "one")


def test_an_empty_body_is_empty():
    assert readable(Body("", html=True)) == ("", "")
