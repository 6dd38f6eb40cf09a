"""Markup goes, text stays, whatever is written."""

from __future__ import annotations

import time

import pytest

from fingpt.features.markup import without_markup


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>Acme <b>rises</b></p>", "Acme rises"),
        ("One<br/>two<li>three", "One two three"),
        ("Ac<em>me</em>", "Acme"),
        ("<a href=\"https://x.y/?a=1&b=2\" title='a > b'>Acme</a>", "Acme"),
        ("AT&amp;T &#39;s &#x201C;plan&#x201D;&nbsp;&euro;5", "AT&T 's “plan” €5"),
        ("&lt;p&gt;escaped&lt;/p&gt; &amp;amp; twice", "escaped & twice"),
        (
            "<style>p {color: red}</style>Acme<script>if (a < b) {'<p>'}</script> rises",
            "Acme rises",
        ),
        ("Acme <!-- a <b>remark</b> --> rises", "Acme rises"),
    ],
)
def test_tags_are_dropped_and_entities_decoded(text, plain) -> None:
    assert " ".join(without_markup(text).split()) == plain


@pytest.mark.parametrize(
    "text",
    [
        "R&D at S&P 500; AT&T &copy 5 &unknown; &",
        "P/E < 5 and growth > 3, a <- b",
        "<AAPL> rises, <<SYS>> [/INST] <|eot_id|> <think>",
        "Acme <b rises",
        "Acme -->",
    ],
)
def test_what_is_no_markup_stays(text) -> None:
    assert without_markup(text) == text


@pytest.mark.parametrize("part", ["<script ", "<!--", "<b \"'", "<b x='", "&amp;", "<", "&#"])
def test_hostile_text_takes_no_time(part) -> None:
    start = time.process_time()
    without_markup(part * 20_000)
    assert time.process_time() - start < 2
