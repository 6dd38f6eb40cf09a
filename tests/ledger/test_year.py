"""A whole invented year goes through writing, scoring, page and verification: of 12 symbols, and of 30 (slow)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from fingpt.ledger.book import read_book
from fingpt.ledger.compose import compose
from fingpt.ledger.document import LedgerPage, Role
from fingpt.ledger.evidence import REACHED
from fingpt.ledger.page import make_page
from fingpt.ledger.render import render
from fingpt.ledger.simulated import CHAMPION, NOTICE, Year, simulate
from fingpt.ledger.verify import require_sound_ledger, verify_ledger
from fingpt.ledger.words import words
from fingpt.report.verdict import Verdict

NOW = datetime(2026, 1, 3, tzinfo=UTC)


@pytest.fixture(
    scope="module",
    params=[Year(symbols=12), pytest.param(Year(), marks=pytest.mark.slow)],
    ids=lambda year: f"{year.symbols} symbols",
)
def year(request) -> Year:
    return request.param


@pytest.fixture(scope="module")
def ledger(year, tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("year"), year)


@pytest.fixture(scope="module")
def page(ledger) -> LedgerPage:
    return compose(read_book(ledger), NOW, NOTICE)


@pytest.fixture(scope="module")
def rendered(page) -> dict[str, str]:
    return {name: data.decode() for name, data in render(page).items()}


def test_the_year_verifies_and_the_week_that_was_caught_up_is_named(ledger, year):
    links = verify_ledger(ledger.store, ledger.name)
    counts = require_sound_ledger(ledger.name, links)
    assert re.fullmatch(r"\d+ ok, 2 skipped", counts)
    assert all("late" in link.message for link in links if link.status == "skipped")
    assert sum(link.key.startswith("forecasts/") for link in links) == 52 * year.symbols * 2


def test_every_forecast_counts_or_says_why_not(page, year):
    champion = page.standings[0]
    assert (champion.title, champion.role, champion.forecasts) == (
        CHAMPION,
        Role.CHAMPION,
        52 * year.symbols,
    )
    assert champion.left_out == {"late": year.symbols, "delisted": 12, "halted": 1}
    assert champion.figures.n == 51 * year.symbols - 13
    assert champion.figures.weeks == 51


def test_skill_is_seen_and_noise_is_not_taken_for_it(page, year):
    models = {one.title: one.figures for one in page.standings if one.role is not Role.TRIVIAL}
    skilled, *noise = models.values()
    assert skilled.accuracy.low > 0.53
    assert skilled.ic.low > 0.15
    assert skilled.brier_up.value < 0.24
    for one in noise:
        assert one.accuracy.low < 0.5 < one.accuracy.high
        assert one.ic.low < 0 < one.ic.high
    best = {(one.model, one.rival): one.evidence.best for one in page.contests}
    assert best[CHAMPION, "base rate (shares of past weeks)"] > REACHED
    trivial = {one.title for one in page.standings if one.role is Role.TRIVIAL}
    assert len(trivial) == 4
    assert max(value for (model, rival), value in best.items() if model != CHAMPION) < REACHED
    wanted = Verdict.WORSE if year.symbols == 30 else Verdict.NO_DIFFERENCE
    assert wanted in [each.verdict for each in page.headline[1:3]]


def test_another_adapter_stands_as_another_challenger_with_its_own_rows(page):
    challengers = [one for one in page.standings if one.role is Role.CHALLENGER]
    assert [one.entries for one in challengers] == [26, 26]
    assert len({one.adapter_sha256 for one in challengers}) == 2
    assert all(one.adapter_sha256[:8] in one.title for one in challengers)


def test_trivial_forecasts_have_what_they_can_have(page):
    found = {one.title.partition(" (")[0]: one.figures for one in page.standings[3:]}
    assert found["always up"].accuracy.value + found["always down"].accuracy.value == pytest.approx(
        1
    )
    assert found["always up"].brier_up is None
    assert found["base rate"].brier_up is not None
    assert found["base rate"].ic is None  # every stock gets the same


def test_the_page_has_everything_and_needs_nothing(rendered, page):
    html = rendered["ledger.html"]
    assert NOTICE in html
    for text in words().disclaimer:
        assert text.split(";")[0] in html
    for heading in (
        "Who stands how",
        "Champion, challengers",
        "When something can be said",
        "Chains",
    ):
        assert heading in html
    assert html.count("<svg") == 4
    assert not re.findall(r"<script(?! type=\"application/json\")|https?://(?!www\.w3\.org)", html)
    embedded = re.search(r'<script type="application/json" id="ledger">(.*?)</script>', html, re.S)
    assert LedgerPage.model_validate(json.loads(embedded[1])) == page
    assert LedgerPage.model_validate_json(rendered["ledger.json"]) == page


def test_the_markdown_says_the_same(rendered, page, year):
    text = rendered["ledger.md"]
    assert f"**{NOTICE}**" in text
    for one in page.standings:
        assert one.title in text
    assert text.count("| INV") == year.symbols
    assert re.search(r"\| (right|wrong): (up|down) by \d-\d%, up with \d+ % \|", text)
    assert ", 1 halted |" in text


def test_the_same_ledger_gives_the_same_page_whenever_it_is_made(ledger, page, tmp_path):
    again = compose(read_book(ledger), datetime(2027, 1, 1, tzinfo=UTC), NOTICE)
    assert again.id == page.id
    assert again.made_at != page.made_at
    path = make_page(ledger, NOW, tmp_path / "out", NOTICE)
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "ledger.html",
        "ledger.json",
        "ledger.md",
    ]


@pytest.mark.slow
def test_to_live_through_the_year_twice_changes_nothing(tmp_path):
    simulate(tmp_path, Year(symbols=12))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    simulate(tmp_path, Year(symbols=12))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before
