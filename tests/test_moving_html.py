"""HTML as plain text."""

from html import escape
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.transfer.moving.html_text import text_of
from tests.hostile import LENGTH, TEXTS, repeated

PAGE: Final = """<!DOCTYPE html>\r
<html><head><meta charset="utf-8"><title>No</title>\r
<style type="text/css"><!-- p.MsoNormal {margin: 0 > 1} --></style></head>\r
<body lang="EN"><div class="WordSection1">\r
<p class="MsoNormal">Dear\r
   reader,<o:p></o:p></p>\r
<p class="MsoNormal"><o:p>&nbsp;</o:p></p>\r
<p>see <a href="https://www.example.com/">here</a>.</p>\r
<![if !supportLists]>1.<![endif]> <!--[if mso]>no<![endif]-->end\r
</div></body></html>\r
"""

SHOWN: Final = {
    "": "",
    "plain": "plain",
    "  two \r\n\t words ": "two words",
    "<p>one</p><p>two</p>": "one\n\ntwo",
    "<p>one<p>two": "one\n\ntwo",
    "one<br>two<br/>three<BR />four": "one\ntwo\nthree\nfour",
    "one<br><br>two<br><br><br><br>three": "one\n\ntwo\n\nthree",
    "<div>one</div><div>two</div>": "one\ntwo",
    "<div>one</div><div><br></div><div>two</div>": "one\n\ntwo",
    "<div><div><div>one</div></div></div><div>two": "one\ntwo",
    "<h1>Head</h1>text<hr>more": "Head\n\ntext\n\nmore",
    "<ul><li>one</li><li>two</li></ul>": "- one\n- two",
    "<p>Buy</p><ol><li><p>one</p></li><li>two</ol>end": "Buy\n\n- one\n- two\nend",
    "<ul><li>one<ul><li>in</li></ul></li><li>two</li></ul>": "- one\n  - in\n- two",
    "<li>alone": "- alone",
    "<ul><li></li><li>one</li></ul>": "- one",
    "<b>bold</b> and <i>italic</i>": "bold and italic",
    "in<b>side</b>": "inside",
    "one <b> two</b>": "one two",
    "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>": "a b\nc d",
    "<pre>a\r\n  b\n</pre>c": "a\n  b\n\n\nc",
    # Links
    '<a href="https://a.example">site</a>': "site (https://a.example)",
    "<a href='https://a.example'>site</a>, more": "site (https://a.example), more",
    "<a href=https://a.example>site </a>more": "site (https://a.example) more",
    '<A HREF = "https://a.example/?a=1&amp;b=2">x</A>': "x (https://a.example/?a=1&b=2)",
    '<a href="https://a.example/">https://a.example</a>': "https://a.example",
    '<a href="https://a.example/">a.example</a>': "a.example",
    '<a href="mailto:alice@example.com">alice@example.com</a>': "alice@example.com",
    '<a href="https://a.example"></a>': "https://a.example",
    '<a href="https://a.example"><img src="cid:1"></a>': "https://a.example",
    '<a href="https://a.example">one<a href="https://b.example">two': (
        "one (https://a.example)two (https://b.example)"
    ),
    '<a href="https://a.example/\n path">x</a>': "x (https://a.example/path)",
    '<a href="javascript:alert(1)">x</a>': "x",
    '<a href=" JavaScript:alert(1)">x</a>': "x",
    '<a href="data:text/html,x">x</a>': "x",
    '<a name="top">x</a></a>': "x",
    '<a title="a > b" href="https://a.example">x</a>': "x (https://a.example)",
    '<a data-href="https://no.example" href="https://a.example">x</a>': "x (https://a.example)",
    '<a href="" href="https://a.example">x</a>': "x",
    '<img alt="A cat" src="https://a.example/c.png">': "A cat (https://a.example/c.png)",
    '<img src="https://a.example/c.png">': "https://a.example/c.png",
    '<img alt="A cat" src="cid:7">': "A cat",
    '<img src="data:image/png;base64,AAAA">': "",
    # What is not shown
    "a<script>if (x < 1) alert('</p>')</script>b": "ab",
    "a<STYLE>p > b {}</Style >b": "ab",
    "a<script/>b</script>c": "ac",
    "a<script>b": "a",
    "<title>no</title>a": "a",
    "a<!-- <b> -- > -->b": "ab",
    "a<!-->b": "ab",
    "a<!-- b": "a",
    "a<![CDATA[b]]>c": "ac",
    "a<![foo[b": "a",
    "<?xml version='1.0'?>a": "a",
    # Entities
    "a &lt;b&gt; &amp;amp; &quot;c&quot; &#65;&#x42; &eacute;": 'a <b> &amp; "c" AB é',
    "&nbsp;&nbsp;a&nbsp;b": "  a b",
    "&unknown; &#; & &amp": "&unknown; &#; & &",
    "&#0;&#xD800;&#1114112;": "\ufffd\ufffd\ufffd",
    "&#" + "9" * 5000 + ";": "\ufffd",
    "&#" + "0" * 5000 + "65;": "A",
    # What is no tag
    "1 < 2 > 1": "1 < 2 > 1",
    "a <3 b": "a <3 b",
    "a <b": "a <b",
    "a <b c='>' d": "a <b c='>' d",
    "<": "<",
    "</": "</",
    "</>": "</>",
    "</p>a</b></ul></pre>b": "a\n\nb",
    '<p class="a>b': "b",
    PAGE: "Dear reader,\n\n\n\nsee here (https://www.example.com/).\n\n1. end",
}


@pytest.mark.parametrize("html", SHOWN)
def test_html_is_shown_as(html: str) -> None:
    assert text_of(html) == SHOWN[html]


FRAGMENTS: Final = (
    *("<", "</", "<!", "<!--", "<![", "<?", "-->", "<a", "<a b=", "<a b='", '<a b="', ">", "/>"),
    *("<div>", "</div>", "<ul><li>", "</li>", "<pre>", "<script>", "</script", "<td>", "<br>"),
    *("&", "&#", "&#9", " ", "\n", "'", '"', "=", "<a href=x>", "<img alt=x>", "<p>", "\0"),
)


@pytest.mark.parametrize("html", TEXTS.values(), ids=TEXTS)
def test_hostile_texts_take_linear_time(html: str) -> None:
    assert len(text_of(html)) <= len(html)


@pytest.mark.parametrize("part", FRAGMENTS)
@pytest.mark.parametrize("other", ["", "<a b='", '"', ">"])
def test_hostile_markup_takes_linear_time(part: str, other: str) -> None:
    html = repeated(part + other)

    assert len(text_of(html + ">")) <= 2 * LENGTH


def test_quotes_that_hide_the_ends_of_tags_take_linear_time() -> None:
    assert text_of(repeated('<li>"<a b=">')) == '- "'


def test_nesting_of_any_depth_is_shown() -> None:
    depth = 100_000

    assert text_of("<div>" * depth + "a" + "</div>" * depth + "b") == "a\nb"
    assert text_of("<ul><li>" * depth + "a") == " " * 8 + "- a"
    assert text_of("<a href=x><b>" * depth).endswith("x")


@given(st.text())
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    words = text.replace("\xa0", " ").split()

    assert text_of(escape(text)).split() == words


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5)).map("".join))
def test_any_markup_is_shown_somehow(html: str) -> None:
    text = text_of(html)

    assert text == text.strip("\n")
    assert len(text) <= 20 * len(html)
