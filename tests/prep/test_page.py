import re

import pytest

from fingpt.prep.blocks import weeks_of
from fingpt.prep.lint import lint
from fingpt.prep.page import SHOWN, Page, render_page, shown_rows
from fingpt.prep.views import ModelView, RowView, Token
from fingpt.rows.raw_rows import Reason, Reject
from fingpt.runs.manifest import DatasetManifest

HOSTILE = "<script>alert('x')</script><img src=http://evil.example/x>\"'&"


@pytest.fixture
def page(example):
    def make(
        views=(),
        rejects=(),
        leaky=False,
        charts=None,
        news="[Headline]: Orders\n[Summary]: By 12%.",
    ):
        parts = {
            "train": [example("AAA", n, news=news, cap=5000.0) for n in range(20)],
            "validation": [],
            "test": [example("AAA", n, news=news, cap=5000.0) for n in range(22, 26)],
        }
        manifest = DatasetManifest(
            id="0123456789abcdef",
            source=f"raw/{HOSTILE}",
            split_rule="calendar",
            leaky=leaky,
            counts={name: len(part) for name, part in parts.items()},
            weeks={name: weeks_of(part) for name, part in parts.items()},
            rejects={"empty-answer": len(rejects)},
            findings=lint(parts),
            files=(),
        )
        shown = shown_rows(parts)
        drawn = dict.fromkeys(("balance", "labels", "prompts", "answers"), "<svg></svg>")
        return render_page(Page(manifest, shown, views, drawn, rejects, 24 + len(rejects)))

    return make


def test_the_page_needs_no_network_and_runs_no_script(page):
    text = page()
    assert "<script" not in text
    assert not re.search(r"<[^>]*\b(?:src|href)\s*=", text)
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\(", text)


def test_text_of_rows_is_escaped_everywhere(page):
    reject = Reject("train", HOSTILE, 3, Reason.EMPTY_ANSWER, HOSTILE)
    view = ModelView(
        "m", HOSTILE, tuple(RowView((Token(HOSTILE, True),), HOSTILE) for _ in range(SHOWN))
    )
    text = page(
        views=(view,), rejects=(reject,), news=f"[Headline]: {HOSTILE}\n[Summary]: {HOSTILE}"
    )
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_five_rows_are_shown_and_a_mended_one_is_among_them(page, example):
    assert page().count('class="card row"') == SHOWN
    mended = example(answer="[Prediction and Analysis]:\nIt rises.")
    rows = {"train": [example("AAA", n) for n in range(20)], "test": [mended]}
    assert mended in shown_rows(rows)
    assert len(shown_rows(rows)) == SHOWN
    assert len(shown_rows({"train": [mended], "test": []})) == 1


def test_prompt_tokens_are_greyed_and_trained_tokens_coloured(page):
    row = RowView((Token("given ", False), Token("trained", True)))
    text = page(views=(ModelView("tiny-llama31", "tiny", (row,) * SHOWN),))
    assert text.count("<i>given </i><b>trained</b>") == SHOWN
    assert 'data-model="tiny-llama31"' in text
    assert "1 tokens given, 1 trained" in text
    assert "No tokenizer was at hand" not in text
    assert "No tokenizer was at hand" in page()


def test_a_leaky_split_is_said_at_the_top(page):
    text = page(leaky=True)
    assert text.index("Random split") < text.index("<h2>")
    assert "Random split" not in page(leaky=False)


def test_every_finding_and_the_refused_rows_are_listed(page):
    reject = Reject("train", "train.jsonl", 3, Reason.EMPTY_ANSWER, "the answer is empty")
    text = page(rejects=(reject,) * 30)
    for rule in ("market cap constant", "few test weeks", "label balance"):
        assert rule in text
    assert "train.jsonl, line 3" in text
    assert "and 10 more in rejects.jsonl" in text


def test_equal_data_gives_equal_bytes(page):
    assert page() == page()
