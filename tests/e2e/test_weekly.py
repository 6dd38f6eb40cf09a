"""Forecasts in pods: `make forecast` by a Job, and the chart's four weekly CronJobs from the request to the score.

The run is the undisturbed one, prices are invented and come by Tiingo's protocol; the clock is the cluster's, so which
weeks are over is asked of the exchange's calendar. A week that has passed cannot be forecast in time any more, and is
late; only the newest may be in time, where the test runs before the next opening.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import yaml

from fingpt.cluster.job import COMPONENT, forecast_component
from fingpt.forecast.inputs import open_inputs
from fingpt.forecast.record import ForecastRecord, find_records, read_request
from fingpt.forecast.weeks import WeekMark, ask_weeks, mark_key
from fingpt.ledger.chains import chain_ids, open_ledger, read_chain
from fingpt.ledger.records import Status
from fingpt.ledger.score import last_score
from fingpt.runs.manifest import decode
from fingpt.sources.records import Kind
from tests.e2e.chart_lab import S3_PORT, kubectl, run
from tests.e2e.invented_vendor import KEY, NAME, PORT, SYMBOLS
from tests.e2e.test_chart import api_server
from tests.e2e.week_lab import JOBS, LEDGER, WeekLab, holiday_friday, opened

pytestmark = [pytest.mark.e2e, pytest.mark.part4]

RESULTS = ("weeks/", "requests/", "forecasts/", f"ledger/{LEDGER}/")


@pytest.fixture(scope="module")
def week(run_lab, undisturbed, tmp_path_factory) -> Iterator[WeekLab]:
    """The chart with weekly forecasts of the undisturbed run."""
    with opened(run_lab, undisturbed.run.id, tmp_path_factory.mktemp("market")) as lab:
        yield lab


def ask(week: WeekLab, monkeypatch: pytest.MonkeyPatch, day: object, *words: str):
    """`make forecast` of the watchlist at the close of a day, from the files of the laptop."""
    monkeypatch.setenv("FINGPT_ARG_DATE", str(day))
    monkeypatch.setenv("FINGPT_ARG_DATA", str(week.data))
    names = ("--run", week.run, "--symbols", " ".join(SYMBOLS))
    done = week.lab.command("forecast", "ask", *names, *words)
    print(done.stdout + done.stderr)
    assert done.returncode == 0
    return done


@pytest.mark.timeout(300)
def test_a_forecast_is_a_job_whose_record_is_made_once(week, monkeypatch):
    """Of a Friday on which the exchange was closed: the week ended on Thursday."""
    holiday = holiday_friday(datetime.now(UTC))
    close = week.exchange.close_on_or_before(holiday)
    assert close.date() < holiday
    ask(week, monkeypatch, holiday)
    ((uid, job),) = week.forecast_jobs().items()
    pod = job["spec"]["template"]
    kept = week.kept(f"forecasts/{week.run}/{close.date()}/")
    records = [decode(ForecastRecord, data, key) for key, data in kept.items()]
    assert [record.key for record in records] == list(kept)
    assert sorted(record.symbol for record in records) == list(SYMBOLS)
    assert {(record.as_of, record.late) for record in records} == {(close, True)}
    (request,) = (key for key in week.kept("requests/") if str(close.date()) in key)
    assert pod["metadata"]["labels"][COMPONENT] == forecast_component(request)
    assert pod["spec"]["containers"][0]["args"][1] == request

    again = ask(week, monkeypatch, holiday)
    assert again.stdout.count("made before, nothing was computed") == len(SYMBOLS)
    assert list(week.forecast_jobs()) == [uid]
    assert week.kept(f"forecasts/{week.run}/") == kept
    planned = yaml.safe_load(ask(week, monkeypatch, holiday, "--mode", "dry-run").stdout)
    assert planned["spec"]["template"]["spec"]["containers"][0]["args"][1] == request


@pytest.mark.timeout(500)
def test_the_weekly_jobs_ask_answer_write_and_score_and_a_missed_week_is_caught_up(
    week, monkeypatch
):
    begun, _, newest = week.weeks
    store = week.lab.store
    monkeypatch.setenv("FINGPT_ARG_DATA", str(week.data))
    inputs = open_inputs(store)  # as the job was two weeks ago; since then, the cluster was down
    ask_weeks(
        store,
        inputs.exchange,
        begun + timedelta(hours=2),
        lambda close: inputs.request(SYMBOLS, close),
    )
    fired = week.fire("request", "request", "score")
    assert {end for end, _ in fired.values()} == {"Complete"}, "also where no ledger is there yet"
    said = "".join(text for _, text in fired.values())
    assert "a week was missed; it is caught up, and late" in said
    requests = {}
    for close in week.weeks:
        key = mark_key(close)
        requests[close] = read_request(store, decode(WeekMark, store.read(key), key).request)
        assert requests[close].as_of == close
        assert [one.symbol for one in requests[close].questions] == list(SYMBOLS)
    assert {one.sources for one in requests[newest].questions} == {("tiingo",)}
    assert f"/tiingo/daily/{SYMBOLS[0]}/prices" in week.asked()
    assert KEY not in said + str(week.kept("requests/", "sources/"))

    week.one("answer")
    for close, request in requests.items():
        records = find_records(store, week.run, request)
        assert list(records) == list(SYMBOLS)
        for record in records.values():
            assert record.late is (record.created_at >= request.due)
            assert record.late or close == newest

    week.one("write")
    ledger = open_ledger(store, LEDGER)
    assert ledger.genesis.runs == (week.run,)
    (chain,) = chain_ids(ledger)
    entries = {entry.as_of: entry for entry in read_chain(ledger, chain)}
    assert set(week.weeks) < set(entries)

    week.one("score")
    for close, entry in entries.items():
        score = last_score(store, entry)
        if close == newest:
            assert score is None, "its week is not over"
            continue
        assert score is not None
        assert score.final
        for outcome in score.outcomes:
            assert outcome.status is Status.OK
            assert outcome.realised_return == total_return(
                week, outcome.symbol, close, entry.horizon_end
            )
    verified(week)

    before, jobs, asked = week.kept(*RESULTS), set(week.forecast_jobs()), week.asked()
    again = week.fire(*JOBS)
    assert {end for end, _ in again.values()} == {"Complete"}
    assert week.kept(*RESULTS) == before
    assert set(week.forecast_jobs()) == jobs
    assert week.asked() == asked, "the week has its request, and what is over its score"


def total_return(week: WeekLab, symbol: str, start: datetime, end: datetime) -> float:
    """What an owner of one share at the close `start` has at the close `end`, less what he had, as a fraction of it."""
    shares, cash, closes = Decimal(1), Decimal(0), {}
    for record in sorted(
        (one for one in week.market if one.symbol == symbol), key=lambda one: one.event_time
    ):
        said = record.payload
        if record.kind is Kind.PRICE:
            closes[record.event_time] = Decimal(str(said["close"]))
        elif start < record.event_time <= end:
            if said["type"] == "split":
                shares *= Decimal(str(said["ratio"]))
            else:
                cash += shares * Decimal(str(said["amount"]))
    return float((shares * closes[end] + cash) / closes[start] - 1)


def verified(week: WeekLab) -> None:
    """`make verify LEDGER=` finds nothing wrong, but for forecasts of weeks that had passed."""
    done = week.lab.command("verify", "--ledger", LEDGER, "--json")
    links = [json.loads(line) for line in done.stdout.splitlines()]
    print(done.stdout + done.stderr)
    assert done.returncode == 0
    assert {link["status"] for link in links} <= {"ok", "skipped"}
    assert all("late: " in link["message"] for link in links if link["status"] == "skipped")


@pytest.mark.timeout(200)
def test_who_fetches_reaches_the_source_and_who_answers_the_bucket_alone(week):
    lab = week.lab.chart
    selected = {
        name: json.loads(
            kubectl("get", "cronjob", f"fingpt-forecast-{name}", "-n", lab.name, "-o", "json")
        )["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        for name in JOBS
    }
    project = {"app.kubernetes.io/name": "fingpt-jobs"}
    labels = {**selected, "job": {**project, COMPONENT: forecast_component("requests/x.json")}}
    probes = {f"probe-{name}": each for name, each in {**labels, "other": {}}.items()}
    lab.start(probes)
    bucket, source = f"s3.{lab.storage}.svc:{S3_PORT}", f"{NAME}.{lab.storage}.svc:{PORT}"
    lab.settle("probe-request", source)
    targets = (bucket, source, api_server())
    reached = {name: tuple(lab.connects(name, *targets).values()) for name in probes}
    print(reached)
    run("kubectl", "delete", "pod", "-n", lab.name, "--wait=false", *probes)
    assert reached == {
        "probe-request": (True, True, False),
        "probe-score": (True, True, False),
        "probe-answer": (True, False, True),
        "probe-write": (True, False, False),
        "probe-job": (True, False, False),
        "probe-other": (True, True, True),
    }
