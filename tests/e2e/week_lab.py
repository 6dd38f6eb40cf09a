"""The chart's weekly forecasts in the lab of runs: a vendor of prices, a watchlist, CronJobs that are started by hand.

Knows nothing of what they are to find; clocks are the cluster's own, weeks are those that have passed by them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from fingpt.features.config import parse_features
from fingpt.forecast.view import Sessions
from fingpt.forecast.weeks import last_week_over
from fingpt.sources.records import Record
from fingpt.synthetic.market import write_market
from tests.e2e import invented_vendor
from tests.e2e.chart_lab import apply, kubectl, run
from tests.e2e.invented_vendor import KEY, NAME, PORT, SYMBOLS
from tests.e2e.run_lab import RunLab, until

JOBS = ("request", "answer", "write", "score")
LEDGER = "weekly"
_FRIDAY = 4


@dataclass(frozen=True)
class WeekLab:
    """`run` is a finished one; `weeks`: closes of the last three weeks that are over, oldest first."""

    lab: RunLab
    run: str
    weeks: tuple[datetime, ...]
    market: tuple[Record, ...]
    data: Path
    """The vendor's market as a folder of files, for the laptop."""

    @property
    def exchange(self) -> Sessions:
        return exchange()

    def fire(self, *names: str) -> dict[str, tuple[str, str]]:
        """A Job of each of these CronJobs, all at once; by Job how it ended (Complete, Failed) and what it said."""
        made = [self._job(name) for name in names]
        return {job: self._ended(job) for job in made}

    def one(self, name: str) -> str:
        """What the only Job of a CronJob said that had to succeed."""
        (ended,) = self.fire(name).values()
        assert ended[0] == "Complete", ended
        return ended[1]

    def _job(self, name: str) -> str:
        job = f"{name}-{os.urandom(3).hex()}"
        source = f"--from=cronjob/fingpt-forecast-{name}"
        kubectl("create", "job", job, source, "-n", self.lab.namespace)
        return job

    def _ended(self, job: str) -> tuple[str, str]:
        path = "jsonpath={.status.conditions[?(@.status=='True')].type}"
        words = ("get", "job", job, "-n", self.lab.namespace, "-o", path)

        def end() -> str:
            found = set(kubectl(*words).split())
            return next((each for each in ("Complete", "Failed") if each in found), "")

        seen = until(200, f"{job} has ended", end)
        said = kubectl("logs", f"job/{job}", "-n", self.lab.namespace)
        print(f"{job}: {seen}\n{said}")
        return seen, said

    def forecast_jobs(self) -> dict[str, dict[str, Any]]:
        """uid → Job in which a run answers; one that is started again has another."""
        found = json.loads(kubectl("get", "jobs", "-n", self.lab.namespace, "-o", "json"))["items"]
        answering = (one for one in found if "-forecast-" in one["metadata"]["name"])
        return {one["metadata"]["uid"]: one for one in answering}

    def asked(self) -> list[str]:
        """Every path that the vendor was asked for."""
        return kubectl("logs", NAME, "-n", self.lab.chart.storage).split()

    def kept(self, *prefixes: str) -> dict[str, bytes]:
        """Key → bytes of everything below these prefixes of the bucket."""
        store = self.lab.store
        return {key: store.read(key) for prefix in prefixes for key in store.keys(prefix)}


def exchange() -> Sessions:
    """New York's, as the chart's jobs have it."""
    return Sessions(parse_features({}, "features"))


def holiday_friday(now: datetime) -> date:
    """The newest Friday on which the exchange was closed."""
    friday = last_week_over(exchange(), now).date()
    friday += timedelta(days=_FRIDAY - friday.weekday())
    while exchange().close_on_or_before(friday).date() == friday:
        friday -= timedelta(days=7)
    return friday


@contextmanager
def opened(lab: RunLab, run_id: str, folder: Path) -> Iterator[WeekLab]:
    """The vendor runs and the chart forecasts every week; afterwards it does not."""
    now = datetime.now(UTC)
    market = invented_vendor.market(now)
    last = max(record.event_time.date() for record in market)
    first = last - timedelta(days=365 * invented_vendor.YEARS)
    write_market(folder, SYMBOLS, first, last, invented_vendor.SEED)
    host = f"{NAME}.{lab.chart.storage}.svc"
    own, authority = invented_vendor.certificate(host)
    files = {"rows.json": _compact(invented_vendor.rows(market)), "tls.pem": own}
    apply(lab.chart.storage, *invented_vendor.vendor(files))
    trusted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authorities"}}
    keys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "source-keys"}}
    own_keys = {**keys, "stringData": {"tiingo": KEY}}
    apply(lab.namespace, {**trusted, "data": {"ca.crt": authority}}, own_keys)
    ready = ("--for=condition=Ready", "--timeout=60s")
    kubectl("wait", "-n", lab.chart.storage, *ready, f"pod/{NAME}")
    lab.upgrade("upgrade", *_values(lab, run_id, f"https://{host}:{PORT}"))
    newest = last_week_over(exchange(), now)
    weeks = [exchange().close_on_or_before(newest.date() - timedelta(days=7 * n)) for n in (2, 1)]
    try:
        yield WeekLab(lab, run_id, (*weeks, newest), tuple(market), folder)
    finally:
        lab.upgrade("upgrade")
        run("kubectl", "delete", "pod", NAME, "-n", lab.chart.storage, "--wait=false")


def _compact(rows: dict[str, list[dict[str, Any]]]) -> str:
    """A Secret that kubectl applies holds 256 KiB."""
    return json.dumps(rows, separators=(",", ":"))


def _values(lab: RunLab, run_id: str, address: str) -> Sequence[str]:
    source = {"kinds": ["price", "action"], "settings": {"address": address}}
    forecast: dict[str, Any] = {
        "enabled": True,
        "runs": [run_id],
        "watchlist": list(SYMBOLS),
        "sources": json.dumps({"sources": {"tiingo": source}}),
        "secret": "source-keys",
        "keys": ["tiingo"],
        "certificates": "authorities",
        "ledger": LEDGER,
    }
    there = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.chart.storage}},
        "podSelector": {"matchLabels": {"app": NAME}},
    }
    return (
        *("--set-json", f"forecast={json.dumps(forecast)}"),
        *("--set-json", f"networkPolicy.sources={json.dumps({'to': [there], 'ports': [PORT]})}"),
        *("--set", "resources.drive.cpu=500m"),
    )
