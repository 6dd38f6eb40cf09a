"""All live sources together: found by name, read without a key, fetched into the raw store without a trace of one."""

from __future__ import annotations

import logging
from datetime import date
from functools import partial

import pytest

from fingpt import log
from fingpt.errors import ConfigError
from fingpt.sources import calendar
from fingpt.sources.fetching import Wanted, fetch
from fingpt.sources.live.catalogue import LIVE, open_live
from fingpt.sources.month import Month
from fingpt.sources.opening import Opener
from fingpt.sources.protocol import Answer
from fingpt.sources.raw_store import RawStore
from fingpt.sources.records import Kind
from fingpt.sources.selection import parse_selection
from fingpt.sources.stored import StoredSnapshot
from tests.sources.live import test_finnhub, test_macro, test_tiingo
from tests.sources.live.conftest import KEY
from tests.sources.live.vendor import Said

LEAST = {
    "alfred": {"accept_terms": True},
    "edgar": {"contact": "someone@example.com"},
    "signals": {
        "signal": "x",
        "address": "https://a.example",
        "path": "/",
        "day": "d",
        "value": "v",
        "terms": "ours",
    },
    "yahoo": {"accept_terms": True},
}
KEYED = {
    "finnhub": {Kind.NEWS, Kind.PROFILE},
    "tiingo": {Kind.PRICE, Kind.ACTION},
    "bls": {Kind.MACRO},
    "alfred": {Kind.MACRO},
}
"""Each way in which a key travels: two headers, a body, a query."""


@pytest.mark.parametrize("name", LIVE)
def test_opening_asks_nobody_and_needs_no_key(name):
    source = LIVE[name](LEAST.get(name, {}))
    able = source.capabilities()
    assert source.name == name
    assert able.kinds
    assert able.needs_key == (name in {"finnhub", "tiingo", "alfred"})
    assert source.policy.terms
    assert able.symbols in (None, frozenset({""}))


def test_what_was_fetched_before_is_read_without_a_key(clock):
    body = Said([test_tiingo.row(date(2026, 11, 3), 1)]).data
    answer = Answer("tiingo", Kind.PRICE, "IVW.B", Month(2026, 11), "/", clock.now(), body)
    assert len(list(open_live("tiingo", {}).read(answer))) == 1


def test_unknown_sources_and_settings_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no live source 'finhub'; did you mean 'finnhub'\?"):
        open_live("finhub", {})
    with pytest.raises(
        ConfigError, match=r"tiingo has no setting 'calls_per_hr'; did you mean 'calls_per_hour'\?"
    ):
        open_live("tiingo", {"calls_per_hr": 1})
    with pytest.raises(
        ConfigError, match=r"settings of the source tiingo are not right \(calls_per_hour: "
    ):
        open_live("tiingo", {"calls_per_hour": 0})


@pytest.fixture
def services(vendor, monkeypatch):
    """Four services at one address, each asking for its key."""
    test_tiingo.Listing(vendor)
    vendor.routes |= {
        "/api/v1/company-news": test_finnhub.news,
        "/api/v1/stock/profile2": profile,
        "/publicAPI/v2/timeseries/data/": test_macro.figures,
        "/fred/series/observations": test_macro.observations,
    }
    for name in KEYED:
        monkeypatch.setenv(f"FINGPT_{name.upper()}_KEY", KEY)
    return {
        "finnhub": {"address": f"{vendor.url}/api/v1"},
        "tiingo": {"address": vendor.url},
        "bls": {"address": vendor.url},
        "alfred": {"address": vendor.url, "accept_terms": True, "series": {"UNRATE": "percent"}},
    }


def profile(asked) -> Said:
    refused = asked.headers.get("x-finnhub-token") != KEY
    return Said({"error": "Invalid API key"}, 401) if refused else Said(test_finnhub.PROFILE)


@pytest.fixture
def as_a_command(capsys):
    """Events go to stderr, as JSON lines; what was set up before is so again afterwards."""
    ours = [logging.getLogger(name) for name in ("fingpt", *log._QUIET)]
    before = [(each, each.level, each.propagate, list(each.handlers)) for each in ours]
    log.setup(command="test")
    yield
    for each, level, propagate, handlers in before:
        each.setLevel(level)
        each.propagate, each.handlers = propagate, handlers


def everything(folder) -> bytes:
    return b"\n".join(
        str(path).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("revoked", [False, True], ids=["accepted", "revoked"])
def test_a_key_is_in_nothing_that_is_written_or_said(
    services, vendor, clock, store, tmp_path, monkeypatch, capsys, caplog, as_a_command, revoked
):
    key = KEY[::-1] if revoked else KEY
    for name in KEYED:
        monkeypatch.setenv(f"FINGPT_{name.upper()}_KEY", key)
    caplog.set_level(logging.DEBUG)
    raw, said = RawStore(store), []
    for name, kinds in KEYED.items():
        source = open_live(name, services[name], clock)
        symbol = {"finnhub": "IVW", "tiingo": "IVW.B"}.get(name, "")
        wanted = Wanted(frozenset(kinds), (symbol,), date(2026, 10, 1), date(2026, 11, 20))
        fetched = fetch(raw, source, wanted, clock.now)
        said += [str(error) for error in fetched.failed.values()]
        assert bool(fetched.failed) is revoked, fetched.reasons
        if not revoked:
            snapshot = StoredSnapshot(raw, open_live(name, services[name]), fetched.kept)
            assert any(list(snapshot.load(kind, symbol)) for kind in kinds)
    shown = capsys.readouterr()
    written = everything(tmp_path)
    assert (b"Works news of" in written) is not revoked
    assert "not fetched" in shown.err or not revoked
    for text in (shown.out, shown.err, caplog.text, *said):
        assert key not in text
    assert key.encode() not in written
    used = {*(asked.headers.get("authorization", "") for asked in vendor.asked)}
    assert f"Token {key}" in used, "and yet it was sent"


def test_a_selection_of_live_sources_is_one_snapshot_and_opens_again_without_network_and_key(
    services, vendor, clock, store, tmp_path, monkeypatch
):
    chosen = {
        "tiingo": {"kinds": ["price", "action"], "settings": services["tiingo"]},
        "bls": {"settings": services["bls"]},
    }
    selection = parse_selection({"sources": chosen}, "SOURCES")
    available = {name: partial(open_live, name, clock=clock) for name in LIVE}
    wanted = Wanted(frozenset(Kind), ("IVW.B",), date(2026, 6, 1), date(2026, 11, 20))
    snapshot = Opener(store, available, clock.now).open(selection, wanted)
    friday = calendar.as_of(date(2026, 11, 20))

    def seen(opened):
        return {
            kind: opened.records(kind, "" if kind is Kind.MACRO else "IVW.B", before=friday)
            for kind in (Kind.PRICE, Kind.ACTION, Kind.MACRO)
        }

    first = seen(snapshot)
    assert [len(first[kind]) for kind in first] == [121, 2, 7]
    assert snapshot.degraded == {}
    for name in KEYED:
        monkeypatch.delenv(f"FINGPT_{name.upper()}_KEY")
    asked = len(vendor.asked)
    again = Opener(store, available, clock.now).open_frozen(snapshot.digest, tmp_path / "scratch")
    assert (seen(again), again.digest) == (first, snapshot.digest)
    assert len(vendor.asked) == asked


def test_fundamentals_of_finnhub_are_refused_with_the_reason_before_anybody_is_asked(store):
    chosen = {"finnhub": {"kinds": ["news", "fundamentals"]}, "tiingo": {"kinds": ["price"]}}
    wanted = Wanted(frozenset(Kind), ("IVW",), date(2026, 10, 1), date(2026, 10, 30))
    told = r"finnhub has no fundamentals; it has news, profile\. .* not when they were filed.* Take edgar"
    with pytest.raises(ConfigError, match=told):
        Opener(store, LIVE).open(parse_selection({"sources": chosen}, "SOURCES"), wanted)
    assert list(store.keys()) == []
