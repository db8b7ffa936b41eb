"""What is left of a mail's body."""

from __future__ import annotations

import re
import time

import nh3
import pytest
from selectolax.lexbor import LexborHTMLParser

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


@pytest.mark.parametrize("half", ["\ud83d", "\ude00"])
def test_half_of_a_letter_is_a_question_mark(half: str) -> None:
    assert readable(Body(f"<p>a{half}b ü</p>", html=True)) == ("<p>a?b ü</p>", "a?b ü")
    assert readable(Body(f"a{half}b ü", html=False)) == ("", "a?b ü")


# -- nothing of a mail calls home: whatever else a trick leaves, no attribute leads to another host but a link's (S26)

TRICKS = [
    "<image src='https://t.example/p.gif'>",
    "<IMAGE SRC='https://t.example/p.gif'>",
    "<IMG SRC='https://t.example/p.gif'>",
    "<img/src='https://t.example/p.gif'>",
    "<img\nsrc\n=\n'https://t.example/p.gif'>",
    "<img src=' https://t.example/p.gif'>",
    "<img src='\n\thttps://t.example/p.gif'>",
    "<img src='ht\ntps://t.example/p.gif'>",
    "<img src='\x01https://t.example/p.gif'>",
    "<img src='&#104;ttps://t.example/p.gif'>",
    "<img src='https&colon;//t.example/p.gif'>",
    "<img src='https:&sol;&sol;t.example/p.gif'>",
    "<img src='//t.example/p.gif'>",
    "<img src='/\\t.example/p.gif'>",
    "<img src='\\\\t.example\\p.gif'>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<img src='file://t.example/p.gif'>",
    "<img src='ftp://t.example/p.gif'>",
    "<img src='cid:a' src='https://t.example/p.gif'>",
    "<img src='https://t.example/p.gif' src='cid:a'>",
    "<img src='cid:a' srcset='https://t.example/p.gif 2x'>",
    "<img src='cid:a' lowsrc='https://t.example/p.gif' dynsrc='https://t.example/p.gif'>",
    "<img src='cid:a' longdesc='https://t.example/' usemap='https://t.example/#m'>",
    "<img src='cid:a' style='background:url(https://t.example/p.gif)'>",
    "<img src='cid:a' onerror='fetch(\"https://t.example\")'>",
    "<picture><source srcset='https://t.example/p.gif'><img src='https://t.example/p.gif'></picture>",
    "<video poster='https://t.example/p.gif' src='https://t.example/v'></video>",
    "<video><source src='https://t.example/v'><track src='https://t.example/t'></video>",
    "<audio src='https://t.example/a' autoplay></audio>",
    "<body background='https://t.example/p.gif'>x</body>",
    "<table background='https://t.example/p.gif'><tr><td background='https://t.example/p.gif'>x</table>",
    "<input type=image src='https://t.example/p.gif'>",
    "<button formaction='https://t.example/'>x</button>",
    "<form action='https://t.example/'><input name=a></form>",
    "<p style=\"background:url('https://t.example/p.gif')\">x</p>",
    "<p style='list-style-image:u\\72l(https://t.example/p.gif)'>x</p>",
    "<style>@import 'https://t.example/s.css'; p{background:url(https://t.example/p.gif)}</style>",
    "<svg><image href='https://t.example/p.gif'/></svg>",
    "<svg><image xlink:href='https://t.example/p.gif'/></svg>",
    "<svg><use href='https://t.example/s.svg#a'/></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><style><img src='https://t.example/p.gif'></style></svg>",
    "<math href='https://t.example/'><mi xlink:href='https://t.example/'>x</mi></math>",
    "<math><mtext><table><mglyph><style><img src='https://t.example/p.gif'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src='https://t.example/p.gif' onerror=alert(1)>",
    "<link rel=stylesheet href='https://t.example/s.css'>",
    "<link rel=prefetch href='https://t.example/'>",
    "<bgsound src='https://t.example/s.wav'>",
    "<object data='https://t.example/o'><param name=src value='https://t.example/o'></object>",
    "<embed src='https://t.example/e'>",
    "<applet codebase='https://t.example/' code=x></applet>",
    "<iframe src='https://t.example/' srcdoc='<img src=https://t.example/p.gif>'></iframe>",
    "<frameset><frame src='https://t.example/'></frameset>",
    "<meta http-equiv=refresh content='0;url=https://t.example/'>",
    "<base href='https://t.example/'><img src='p.gif'>",
    "<html manifest='https://t.example/m'>x</html>",
    "<script src='https://t.example/s.js'></script>",
    "<noscript><img src='https://t.example/p.gif'></noscript>",
    "<template><img src='https://t.example/p.gif'></template>",
    "<textarea><img src='https://t.example/p.gif'></textarea><xmp><img src='https://t.example/p.gif'></xmp>",
    "<!--[if mso]><img src='https://t.example/p.gif'><![endif]-->",
    "<!--><img src='https://t.example/p.gif'>-->",
    "<![CDATA[<img src='https://t.example/p.gif'>]]>",
    "<?xml-stylesheet href='https://t.example/s.css'?>",
    "<v:imagedata xmlns:v='urn:v' src='https://t.example/p.gif'/>",
    "<blockquote cite='https://t.example/'>x</blockquote><q cite='//t.example/'>x</q><del cite='https://t.example/'>x</del>",
    "<a href='https://t.example/' ping='https://t.example/p' target=_blank>x</a>",
    "<a href='//t.example/'>x</a><a href='/away'>x</a><a href='#here'>x</a>",
    "<a href='javascript:alert(1)'>x</a><a href='java\nscript:alert(1)'>x</a><a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='vbscript:x'>x</a><a href='data:text/html,x'>x</a><a href='blob:https://t.example/x'>x</a>",
    "<img src='cid:a'><a href='cid:a'>x</a><a href='c\nid:a'>x</a><a href=' cid:a'>x</a>",
    "<map name=m><area shape=rect href='https://t.example/'></map>",
]
WORDS_ONLY = {"alt", "align", "width", "height", "rel", "title", "lang"}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("beside", ["<p>x</p>", "<img src='cid:own'>"])
def test_whatever_a_mail_tries_only_its_links_lead_elsewhere(trick: str, beside: str) -> None:
    safe = clean(f"{beside}{trick}<p>after</p>")

    for node in LexborHTMLParser(safe).css("body *"):
        for name, value in node.attributes.items():
            if (node.tag, name) == ("a", "href"):
                assert re.match(r"(?:https?://|mailto:)", value or ""), safe
            elif (node.tag, name) == ("img", "src"):
                assert (value or "").startswith("cid:"), safe
            else:
                assert name in WORDS_ONLY, safe
        assert node.tag in nh3.ALLOWED_TAGS
    assert not re.search(r"<(?:style|script|svg|math|iframe|object|embed|link|meta|base|form|input)", safe)


def test_an_address_of_mail_may_be_a_link() -> None:
    assert 'href="mailto:r@client.example"' in clean("<a href='mailto:r@client.example'>x</a>")


# -- what it costs (S38)


def styles(number: int) -> str:
    return "".join(f"<b lang={one}>" for one in range(number))


MEGABYTE = 1_000_000
BOMBS = {
    "div": lambda: "<div>" * (MEGABYTE // 5),
    "styles before paragraphs": lambda: "<b>" * (MEGABYTE // 6) + "<p>" * (MEGABYTE // 6),
    "styles that each paragraph opens again": lambda: f"<p>{styles(20_000)}</p>" + "<p>x" * 80_000,
    "few tags of that kind": lambda: f"<p>{styles(400)}</p>" + "<p>x" * 390,
    "one long style": lambda: f"<p><b title='{'x' * 50_000}'></p>" + "<p>x" * 390,
    "one long style among many words": lambda: f"<p><b title='{'x' * 100_000}'></p>" + "<p>x" * 390,
    "tables": lambda: "<table><tr><td>" * (MEGABYTE // 15),
    "links": lambda: "<a href=x>" * (MEGABYTE // 10),
    "links in blocks": lambda: "<a href=x><div>" * (MEGABYTE // 15),
    "fonts": lambda: "".join(f"<font color={one}>" for one in range(MEGABYTE // 20)),
    "forms": lambda: "<form><div></form>" * (MEGABYTE // 18),
    "svg": lambda: "<svg>" * (MEGABYTE // 5),
    "svg that looks like a style sheet": lambda: "<svg><style><b c=1><p>" * 5_000,
    "math": lambda: "<math><mi>" * (MEGABYTE // 10),
    "select": lambda: "<select>" + "<option>x" * (MEGABYTE // 9),
    "lists": lambda: "<li><dd>" * (MEGABYTE // 8),
    "attributes": lambda: "<p " + " ".join(f"a{one}=1" for one in range(MEGABYTE // 9)) + ">x",
    "attributes of a style sheet": lambda: "<style " + " ".join(f"a{one}=1" for one in range(MEGABYTE // 9)) + ">x",
    "angles": lambda: "<" * MEGABYTE,
    "comments": lambda: "<!--" * (MEGABYTE // 4),
    "quotation marks": lambda: "<p a='" * (MEGABYTE // 6),
    "tags without end": lambda: "<p a=x " * (MEGABYTE // 7),
    "style sheets without end": lambda: "<style>" * (MEGABYTE // 7),
    "ampersands": lambda: "&" * MEGABYTE,
    "spaces": lambda: "<p>" + " \u2003" * (MEGABYTE // 4) + "\n" + " \u2003" * (MEGABYTE // 4),
    "lines": lambda: "<pre>" + ("\n" + "\u2003" * 50) * (MEGABYTE // 51),
    "end tags": lambda: "<span>" * 490 + "</div></i>" * 40_000,
    "end tags in a comment": lambda: "".join(f"<b lang={one}><!--</b>-->" for one in range(20_000)) + "<p>x" * 20_000,
    "end tags behind a wall": lambda: "".join(f"<b lang={one}><table><td></b></table>" for one in range(12_000)),
    "end tags too far out": lambda: (
        "".join(f"<b c={i}>{'<div>' * 9}</b>{'</div>' * 9}" for i in range(3_000)) + "<p>x" * 9_000
    ),
    "end tags in a wrong order": lambda: "<span><div></span></div>" * 20_000 + "<span><x></span></x>" * 1_000,
    "52 MB": lambda: "<p>hello</p>" * 4_300_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_html_costs_no_more_than_a_long_mail(name: str) -> None:
    bomb = Body(BOMBS[name](), html=True)
    started = time.process_time()

    html, text = readable(bomb)

    assert time.process_time() - started < 2
    assert len(html) + len(text) < 8 * MEGABYTE


@pytest.mark.parametrize("name", ["div", "tables", "52 MB", "attributes", "few tags of that kind", "svg"])
def test_of_html_that_is_not_kept_the_words_are_and_it_is_said(name: str) -> None:
    html, text = readable(Body(f"<p>Dear&nbsp;Ada &amp; Ben</p><script>x</script>{BOMBS[name]()}", html=True))

    assert html == ""
    assert text.startswith("Dear Ada & Ben")
    assert text.endswith("\n[The rest of this mail was too large or too deeply nested to be kept as HTML.]")
    assert "script" not in text


def test_of_a_text_without_end_the_beginning_is_kept_and_it_is_said() -> None:
    html, text = readable(Body("word " * MEGABYTE, html=False))

    assert html == ""
    assert len(text) < 1.1 * MEGABYTE
    assert text.startswith("word word")
    assert text.endswith("\n[The rest of this mail was too large to be kept.]")


LONG_MAILS = {
    "a newsletter": (
        "<!--[if mso]><noscript><xml></xml></noscript><table><![endif]--><style>p > a {color:red}</style>"
        + "<table><tr><td align=left><p class=x><font color=red><b>Hello</b> &amp; <a href='https://x.example/?a=1&b=2'>"
        "there</a></font></p><img src='cid:x'></td></tr></table>" * 3_000
    ),
    "a conversation of fifty answers": "<div><div><blockquote><div>I think</div>" * 50
    + "<p>no</p>" * 2_000
    + "</blockquote></div></div>" * 50,
    "end tags left out": "<ul>" + "<li>one<li>two" * 2_000 + "</ul><dl>" + "<dt>one<dd>two" * 1_000 + "</dl>"
    "<p>one<p>two" * 1_000 + "<table>" + "<tr><td>one<td>two" * 1_000 + "</table>",
    "end tags in a wrong order": "<div><a href='https://x.example'><b>x</a></b><i><p>x</i></p></div>" * 2_000,
    "end tags of nothing": "<div>x</span></b></td></div>" * 2_000,
    "a style around a part": "<b><div>x</b></div>" * 2_000,
    "a link that is not closed": "<a name=x>one<a name=y>two" * 1_000,
    "a large picture in the text": f"<img src='data:image/png;base64,{'A/b+' * 300_000}'><p>x</p>",
    "letter styles that cross a table": "<b>x<table><tr><td>y</td></tr></table></b>" * 2_000,
}


@pytest.mark.parametrize("name", LONG_MAILS)
def test_a_long_mail_as_people_and_programs_write_it_keeps_its_html(name: str) -> None:
    html, text = readable(Body(LONG_MAILS[name], html=True))

    assert html == clean(LONG_MAILS[name])
    assert "[The rest" not in text
