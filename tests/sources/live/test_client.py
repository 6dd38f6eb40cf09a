"""The client: paces by a clock, retries what passes, names every other failure, and never shows a key."""

from __future__ import annotations

import gzip
import logging

import pytest

from fingpt.errors import (
    ConfigError,
    DataError,
    FingptError,
    MissingInputError,
    PermissionDeniedError,
    SetupError,
    TransientError,
)
from fingpt.sources.live.client import Client, Service, _trust
from fingpt.sources.live.failures import JSON
from fingpt.sources.live.keys import find_key, require_key
from fingpt.sources.live.rate_limit import Limit
from tests.sources.live.conftest import KEY
from tests.sources.live.vendor import PAGE, HandClock, Said, Vendor, serve

FINE = Said({"ok": True})
FAST = (Limit(10_000, 1),)


def client(vendor, clock, key=None, limits=FAST, **more):
    return Client(Service("Example", vendor.url, limits, key, **more), clock)


def key_in(place, monkeypatch, prefix=""):
    monkeypatch.setenv("FINGPT_FINNHUB_KEY", KEY)
    return require_key("finnhub", place, "X-Key", prefix)


def failure(vendor, clock, key=None) -> FingptError:
    with pytest.raises(FingptError) as caught:
        client(vendor, clock, key).get("/a", {"symbol": "AAPL"}, JSON)
    return caught.value


def test_an_answer_is_the_bytes_that_were_sent_with_address_and_time(vendor, clock):
    vendor.routes["/a"] = FINE
    reply = client(vendor, clock).get("/a", {"symbol": "BRK.B", "q": "a b"}, JSON)
    assert reply.body == FINE.data
    assert reply.request == f"{vendor.url}/a?symbol=BRK.B&q=a+b"
    assert reply.retrieved_at == clock.now()
    assert vendor.asked[0].query == {"symbol": "BRK.B", "q": "a b"}


def test_no_window_sees_more_calls_than_the_limit(vendor, clock):
    vendor.routes["/a"] = FINE
    asking = client(vendor, clock, limits=(Limit(60, 60), Limit(30, 1)))
    times = []
    for _ in range(130):
        asking.get("/a", {}, JSON)
        times.append(clock.monotonic())
    for span, most in ((60.0, 60), (1.0, 30)):
        fullest = max(sum(start <= each < start + span for each in times) for start in times)
        assert fullest <= most
    assert times[-1] < 140, "and yet it is no slower than the limit asks for"
    assert clock.slept


def test_a_quota_that_is_used_up_says_when_to_come_back_instead_of_sleeping(vendor, clock):
    vendor.routes["/a"] = FINE
    asking = client(vendor, clock, limits=(Limit(4, 3600),))
    asking.get("/a", {}, JSON)
    with pytest.raises(
        TransientError, match=r"allows 4 calls a hour.*goes on from here in 20 minutes"
    ):
        asking.get("/a", {}, JSON)
    assert clock.slept == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(vendor, clock, status):
    vendor.routes["/a"] = FINE
    vendor.faults = [Said({"error": "later"}, status)] * 2
    assert client(vendor, clock).get("/a", {}, JSON).body == FINE.data
    first, second = clock.slept
    assert 1 <= first <= 2
    assert 2 <= second <= 4


def test_the_wait_that_a_service_asks_for_is_kept_in_seconds_or_as_a_date_by_its_own_clock(
    vendor, clock
):
    vendor.routes["/a"] = FINE
    dated = {
        "Retry-After": "Mon, 02 Mar 2020 08:00:41 GMT",
        "Date": "Mon, 02 Mar 2020 08:00:00 GMT",
    }
    reset = {"X-Ratelimit-Reset": str(int(clock.now().timestamp()) + 5)}
    for header in (reset, {"Retry-After": "17"}, dated):
        vendor.faults.append(Said({}, 429, header=header))
    client(vendor, clock).get("/a", {}, JSON)
    assert clock.slept == [5.0, 17.0, 41.0]


def test_a_wait_of_hours_ends_the_request_and_says_so(vendor, clock):
    vendor.faults = [Said({"error": "quota"}, 429, header={"Retry-After": "7200"})]
    error = failure(vendor, clock)
    assert isinstance(error, TransientError)
    assert 'fewer requests (429) and says \'{"error": "quota"}\'' in str(error)
    assert "the same command in 120 minutes goes on from here" in str(error)
    assert clock.slept == []


def test_what_never_passes_ends_after_five_attempts(vendor, clock):
    vendor.faults = [Said({}, 503)] * 9
    error = failure(vendor, clock)
    assert (error.exit_code, len(vendor.asked)) == (75, 5)
    assert "after 5 attempts: it is busy or broken (503)" in str(error)


FAULTS = {
    "empty": (Said(b""), DataError, "a success without a body came back"),
    "blanks": (Said(b" \n"), DataError, "a success without a body came back"),
    "html": (PAGE, DataError, "an HTML page came back as a success"),
    "html called json": (Said(PAGE.data), DataError, "an HTML page came back as a success"),
    "other type": (Said("a,b", kind="text/csv"), DataError, "JSON was expected, but the answer is 'text/csv'"),
    "no type": (Said("a,b", kind=""), DataError, "the answer is 'without a type'"),
    "cut": (Said({"a": "b" * 999}, cut=100), TransientError, "the answer was cut short"),
    "damaged": (
        Said(gzip.compress(b"{}")[:-9] + b"broken...", header={"Content-Encoding": "gzip"}),
        DataError,
        "the answer is damaged",
    ),
    "not found": (Said({"detail": "Not found."}, 404), MissingInputError, "there is nothing there"),
    "bad request": (Said({"error": "no such field"}, 400), DataError, "says '{\"error\": \"no such field\"}'"),
    "elsewhere": (Said(b"", 302, header={"Location": "http://a.example/b"}), SetupError, "on to http://a.example"),
    "in circles": (Said(b"", 302, header={"Location": "/a"}), DataError, "more than 5 redirects"),
    "proxy login": (Said(b"", 407), PermissionDeniedError, "the proxy in between asks for a login"),
    "forbidden": (Said({}, 403), PermissionDeniedError, "access is refused (403)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_failure_has_its_class_and_name(vendor, clock, fault):
    said, kind, words = FAULTS[fault]
    vendor.faults = [said] * 9
    error = failure(vendor, clock)
    assert type(error) is kind
    assert words in str(error)
    assert str(error).startswith("Example ")


def test_an_answer_beyond_the_bound_is_not_read_to_its_end(vendor, clock, monkeypatch):
    monkeypatch.setattr("fingpt.sources.live.client._ANSWER_BYTES", 1 << 20)
    bomb = gzip.compress(b"[" + b" " * (2 << 20) + b"]")
    vendor.faults = [Said(bomb, header={"Content-Encoding": "gzip"})]
    assert "more than 1 MiB" in str(failure(vendor, clock))


def test_an_answer_that_drips_for_minutes_is_given_up(vendor, monkeypatch):
    class Hurried(HandClock):
        def monotonic(self) -> float:
            self._seconds += 400.0
            return self._seconds

    vendor.routes["/a"] = FINE
    error = failure(vendor, Hurried())
    assert (error.exit_code, len(vendor.asked)) == (75, 5)
    assert "an answer took longer than 300 s" in str(error)


def test_a_service_that_is_not_there_is_named(clock):
    vendor = Vendor(port=9)
    error = failure(vendor, clock)
    assert (type(error), len(clock.slept)) == (TransientError, 4)
    assert "it cannot be reached" in str(error)


@pytest.mark.parametrize("place", ["header", "query", "json"])
def test_a_key_reaches_the_service_and_nothing_else(vendor, clock, monkeypatch, caplog, place):
    key = key_in(place, monkeypatch, prefix="Token " if place == "header" else "")
    vendor.routes["/a"] = FINE
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx2")
    asking = client(vendor, clock, key)
    reply = asking.post("/a", b'{"seriesid":["X"]}', JSON)
    asked = vendor.asked[0]
    carried = {
        "header": asked.headers.get("x-key"),
        "query": asked.query.get("X-Key"),
        "json": asked.json.get("X-Key"),
    }
    assert carried[place] == ("Token " if place == "header" else "") + KEY
    assert [place for place, value in carried.items() if value] == [place]
    assert asked.json["seriesid"] == ["X"]
    assert "HTTP Request: POST" in caplog.text, "the library does log its requests"
    assert KEY not in caplog.text + reply.request + repr(asking) + repr(key)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
def test_a_service_that_repeats_the_key_does_not_get_it_into_our_message(
    vendor, clock, monkeypatch, status
):
    vendor.faults = [Said({"error": f"The key:{KEY} is invalid"}, status)] * 9
    error = failure(vendor, clock, key_in("header", monkeypatch))
    assert "The key:*** is invalid" in str(error)
    assert KEY not in str(error)


def test_an_answer_that_repeats_the_key_is_not_kept(vendor, clock, monkeypatch):
    vendor.routes["/a"] = Said({"you": KEY})
    assert "repeats the key" in str(failure(vendor, clock, key_in("header", monkeypatch)))


@pytest.mark.parametrize("status", [401, 403])
def test_a_revoked_key_names_the_variable_and_the_secret(vendor, clock, monkeypatch, status):
    vendor.faults = [Said({"error": "Invalid API key"}, status)]
    error = failure(vendor, clock, key_in("header", monkeypatch))
    assert error.exit_code == 77
    assert f"refuses the key ({status})" in str(error)
    assert (
        "FINGPT_FINNHUB_KEY, or into the Secret or file that FINGPT_FINNHUB_KEY_FILE names"
        in str(error)
    )


def test_a_page_that_refuses_is_a_proxy_s_and_says_nothing_of_the_key(vendor, clock, monkeypatch):
    vendor.faults = [Said(PAGE.data, 403, "text/html")]
    error = failure(vendor, clock, key_in("header", monkeypatch))
    assert error.exit_code == 77
    assert "an HTML page came back (403), so a proxy or a web server in between answered" in str(
        error
    )


def test_a_redirect_never_takes_a_key_to_another_host(vendor, clock, monkeypatch):
    with serve(Vendor(routes={"/a": FINE})) as other:
        vendor.faults = [Said(b"", 307, header={"Location": f"{other.url}/a"})]
        error = failure(vendor, clock, key_in("query", monkeypatch))
        assert (type(error), other.asked) == (SetupError, [])
        assert "only without a key and by https" in str(error)


def test_a_redirect_within_the_host_is_followed_with_the_key(vendor, clock, monkeypatch):
    vendor.faults = [Said(b"", 301, header={"Location": "/b?x=1"})]
    vendor.routes["/b"] = FINE
    client(vendor, clock, key_in("header", monkeypatch)).get("/a", {}, JSON)
    assert [each.headers["x-key"] for each in vendor.asked] == [KEY, KEY]


def test_a_key_is_never_sent_in_plain_text(clock, monkeypatch):
    with pytest.raises(ConfigError, match="would carry its key in plain text; use https"):
        Client(Service("Example", "http://api.example", FAST, key_in("header", monkeypatch)), clock)


ADDRESSES = (
    "api.example ftp://api.example https://me:pw@api.example https://a?b=c https://a:port".split()
)


@pytest.mark.parametrize("base", ADDRESSES)
def test_an_address_that_is_none_is_refused_without_showing_it(clock, base):
    with pytest.raises(ConfigError, match="The address of Example is") as caught:
        Client(Service("Example", base, FAST), clock)
    assert "pw" not in str(caught.value).replace("password", "")


def test_a_key_comes_from_the_variable_or_from_the_file_of_a_secret(monkeypatch, tmp_path):
    assert find_key("tiingo", "header", "x") is None
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("FINGPT_TIINGO_KEY_FILE", str(tmp_path / "key"))
    assert require_key("tiingo", "header", "x").secret.get_secret_value() == KEY
    monkeypatch.setenv("FINGPT_TIINGO_KEY", "the-variable-goes-first")
    assert require_key("tiingo", "header", "x").secret.get_secret_value()[:3] == "the"


def test_a_missing_key_or_key_file_is_named_with_what_to_do(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="set FINGPT_TIINGO_KEY, or FINGPT_TIINGO_KEY_FILE to"):
        require_key("tiingo", "header", "x")
    monkeypatch.setenv("FINGPT_TIINGO_KEY_FILE", str(tmp_path / "gone"))
    with pytest.raises(
        MissingInputError, match=r"FINGPT_TIINGO_KEY_FILE names .*gone, which is empty"
    ):
        require_key("tiingo", "header", "x")


@pytest.mark.parametrize(
    "key", ["short", "two words of it", "kürzel-0123456789", "line\nbreak-0123456"]
)
def test_what_no_key_can_be_is_refused_without_showing_it(monkeypatch, key):
    monkeypatch.setenv("FINGPT_TIINGO_KEY", key)
    with pytest.raises(
        PermissionDeniedError, match="FINGPT_TIINGO_KEY holds fewer than 8"
    ) as caught:
        require_key("tiingo", "header", "x")
    assert key not in str(caught.value)


def test_a_certificate_file_that_is_missing_is_named_before_anything_is_asked(
    vendor, clock, monkeypatch, tmp_path
):
    _trust.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    error = failure(vendor, clock)
    assert (error.exit_code, vendor.asked) == (78, [])
    assert "SSL_CERT_FILE names" in str(error)


def test_a_proxy_of_the_environment_is_used_and_no_proxy_is_honoured(vendor, clock, monkeypatch):
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{vendor.port}")
    monkeypatch.setenv("no_proxy", "")
    vendor.routes["/a"] = FINE
    far = Client(Service("Example", "http://far.example", FAST), clock)
    assert far.get("/a", {}, JSON).body == FINE.data
    assert vendor.asked[0].target == "http://far.example/a"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    near = Client(Service("Example", vendor.url, FAST), HandClock())
    near.get("/a", {}, JSON)
    assert vendor.asked[1].target == "/a"
