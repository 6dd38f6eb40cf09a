"""SEC EDGAR: figures of annual and quarterly reports, and current reports as news, by the time they were accepted.

No key, but a mail address in each request, and at most ten requests a second. Three documents per company:

    www.sec.gov/files/company_tickers.json                 ticker -> CIK, of companies that are listed now
    data.sec.gov/submissions/CIK##########.json            filings in columns, newest first; older ones in further files
    data.sec.gov/api/xbrl/companyfacts/CIK##########.json   every figure of every report, with the report it is from

An answer holds the documents that a month rests on, byte for byte, as a sequence of JSON texts (RFC 7464). Our client
fetches them; edgartools reads the figures (figures.py) and knows the names of items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter

from fingpt.errors import DataError, FingptError, MissingInputError, TransientError
from fingpt.record import Frozen
from fingpt.sources.live import filings
from fingpt.sources.live.answers import kept, parse, record, where
from fingpt.sources.live.client import Client, Reply, Service
from fingpt.sources.live.failures import JSON
from fingpt.sources.live.figures import Report, read_figures, titles
from fingpt.sources.live.filings import Filing
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

_BETWEEN = b"\x1e"
_REPORTS = ("10-K", "10-Q", "20-F", "40-F", "10-K/A", "10-Q/A", "20-F/A", "40-F/A")
_NEWS = ("8-K", "8-K/A")


class EdgarSettings(Frozen):
    """`contact`: a mail address of yours; the SEC blocks programs without one. `ciks`: symbol -> CIK, for companies
    that are not listed under that symbol today.
    """

    contact: Annotated[str, Field(pattern=r"^[!-~]+@[!-~]+\.[!-~]+$", max_length=200)]
    ciks: dict[str, Annotated[int, Field(gt=0, lt=10**10)]] = Field(default_factory=dict)
    address: str = "https://www.sec.gov"
    data_address: str = "https://data.sec.gov"


class _Ticker(Frozen):
    cik_str: int
    ticker: str
    title: str


_TICKERS = TypeAdapter(dict[str, _Ticker])


class _Listed(NamedTuple):
    sha256: str
    filings: tuple[Filing, ...]


class _Figures(NamedTuple):
    sha256: str
    reports: Mapping[str, Report]


class Edgar:
    """Reports, current reports and names of US companies."""

    name = "edgar"
    policy = UsagePolicy.allowing(
        *Use, terms="filings on EDGAR are public, and the SEC lets anybody reuse them"
    )

    def __init__(self, settings: EdgarSettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._clients: tuple[Client, Client] | None = None
        self._ciks: dict[str, int] = {}
        self._documents: tuple[str, dict[str, Reply]] = "", {}
        self._listed = _Listed("", ())
        self._figures = _Figures("", {})

    def capabilities(self) -> Capabilities:
        """Any company that files with the SEC; figures since 2009, when they became machine-readable."""
        kinds = frozenset({Kind.FUNDAMENTALS, Kind.NEWS, Kind.PROFILE})
        return Capabilities(kinds=kinds, earliest=date(2001, 1, 1), rate=5.0)

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer where the company filed anything of that kind in the month, else none."""
        cik = self._cik(symbol)
        documents = [self._data(f"/submissions/CIK{cik:010d}.json", symbol)]
        about = filings.submissions(documents[0].body, f"The filings of {symbol} at edgar")
        wanted = [page for page in about.filings.files if filings.overlaps(page, month)]
        documents += [self._data(f"/submissions/{page.name}", symbol) for page in wanted]
        if kind is Kind.PROFILE:
            if month.first <= self._clock.now().date():
                yield self._answer(kind, symbol, month, documents)
            return
        draft = self._join(kind, symbol, month, documents)
        forms = _NEWS if kind is Kind.NEWS else _REPORTS
        if any(filing.form in forms for filing in self._filings(draft)):
            if kind is Kind.FUNDAMENTALS:
                path = f"/api/xbrl/companyfacts/CIK{cik:010d}.json"
                documents.append(self._data(path, symbol))
            yield self._answer(kind, symbol, month, documents)

    def read(self, answer: Answer) -> Iterator[Record]:
        """Records of the filings that were accepted in the answer's month; of a profile, the name in that month."""
        if answer.kind is Kind.PROFILE:
            yield from self._profile(answer)
            return
        for filing in self._filings(answer):
            if answer.kind is Kind.NEWS and filing.form in _NEWS:
                yield self._news(answer, filing)
            elif answer.kind is Kind.FUNDAMENTALS and filing.form in _REPORTS:
                yield from self._report(answer, filing)

    def _filings(self, answer: Answer) -> list[Filing]:
        """The filings that were accepted in the answer's month, oldest first."""
        accepted = ((_accepted(each, answer), each) for each in self._all_filings(answer))
        return [
            each for moment, each in sorted(accepted) if Month.of(moment.date()) == answer.month
        ]

    def _all_filings(self, answer: Answer) -> tuple[Filing, ...]:
        """Every filing that an answer names; the last one's are kept, since its other months are read next."""
        if self._listed.sha256 != answer.sha256:
            texts = _texts(answer)
            columns = [filings.submissions(texts[0], where(answer)).filings.recent]
            for text in texts[1:]:
                columns += filings.further(text, where(answer))
            rows = (each for part in columns for each in filings.rows(part, where(answer)))
            found = {each.accession: each for each in rows}
            self._listed = _Listed(answer.sha256, tuple(found.values()))
        return self._listed.filings

    def _news(self, answer: Answer, filing: Filing) -> Record:
        about = filings.submissions(_texts(answer)[0], where(answer))
        said = "; ".join(titles(filing.items)) or "no items named"
        name = filings.name_on(about, filing.filed)
        moment = _accepted(filing, answer)
        folder = f"{about.cik}/{filing.accession.replace('-', '')}"
        payload: dict[str, object] = {
            "headline": f"{name} files {filing.form}: {said}",
            "summary": "",
            "url": f"https://www.sec.gov/Archives/edgar/data/{folder}/{filing.document}",
            "publisher": "SEC EDGAR",
        }
        return record(answer, moment, moment, payload)

    def _report(self, answer: Answer, filing: Filing) -> Iterator[Record]:
        if not filing.is_xbrl or filing.period is None:
            return
        report = self._reports(answer).get(filing.accession)
        metrics = report.metrics(filing.period, filing.form) if report else {}
        if not metrics:
            if filing.form.endswith("/A"):  # amendments of the cover or of Part III have no figures
                return
            raise DataError(
                f"EDGAR has no figures yet of the {filing.form} that {answer.symbol} filed on {filing.filed} "
                f"({filing.accession}); they follow within a day: ask again later, or leave the month out."
            )
        payload: dict[str, object] = {
            "period_end": filing.period.isoformat(),
            "form": filing.form,
            "metrics": metrics,
        }
        end = datetime.combine(filing.period, time(), UTC)
        moment = _accepted(filing, answer)
        yield record(answer, min(end, moment), moment, payload)

    def _profile(self, answer: Answer) -> Iterator[Record]:
        about = filings.submissions(_texts(answer)[0], where(answer))
        moment = datetime.combine(answer.month.first, time(), UTC)
        payload: dict[str, object] = {
            "name": filings.name_on(about, answer.month.first),
            "asset": "stock" if about.entityType == "operating" else "fund",
            "exchange": next(iter(filter(None, about.exchanges)), None),
            "industry": about.sicDescription or None,
            "country": about.country,
        }
        yield record(answer, moment, moment, payload)

    def _reports(self, answer: Answer) -> Mapping[str, Report]:
        """Figures by accession number; the last answer's are kept, since its other months are read next."""
        if self._figures.sha256 != answer.sha256:
            self._figures = _Figures(answer.sha256, read_figures(_texts(answer)[-1], where(answer)))
        return self._figures.reports

    def _answer(self, kind: Kind, symbol: str, month: Month, documents: list[Reply]) -> Answer:
        draft = self._join(kind, symbol, month, documents)
        return kept(self, kind, symbol, month, Reply(draft.request, draft.body, draft.retrieved_at))

    def _join(self, kind: Kind, symbol: str, month: Month, documents: list[Reply]) -> Answer:
        return Answer(
            source=self.name,
            kind=kind,
            symbol=symbol,
            month=month,
            request=" ".join(each.request for each in documents),
            retrieved_at=max(each.retrieved_at for each in documents),
            body=b"".join(_BETWEEN + each.body.strip() + b"\n" for each in documents),
        )

    def _cik(self, symbol: str) -> int:
        if symbol in self._settings.ciks:
            return self._settings.ciks[symbol]
        if not self._ciks:
            reply = self._asking()[0].get("/files/company_tickers.json", {}, JSON)
            known = parse(_TICKERS, reply.body, "EDGAR's list of tickers")
            self._ciks = {each.ticker: each.cik_str for each in known.values()}
        cik = self._ciks.get(symbol.replace(".", "-"))
        if cik is None:
            raise MissingInputError(
                f"EDGAR has no company under the ticker {symbol} today; where it was renamed or delisted, set ciks: "
                f"{{{symbol}: its CIK}} in the settings of edgar."
            )
        return cik

    def _data(self, path: str, symbol: str) -> Reply:
        """A document about a company; those of one company are kept, since its months share them."""
        if self._documents[0] != symbol:
            self._documents = symbol, {}
        known = self._documents[1]
        if path not in known:
            known[path] = self._asking()[1].get(path, {}, JSON)
        return known[path]

    def _asking(self) -> tuple[Client, Client]:
        if self._clients is None:
            said = {"User-Agent": f"fingpt-jobs {self._settings.contact}"}
            # Half of the ten requests a second for each of its two hosts.
            www, data = (
                Service("EDGAR", address, (Limit(5, 1),), headers=said, explain=_explain)
                for address in (self._settings.address, self._settings.data_address)
            )
            self._clients = Client(www, self._clock), Client(data, self._clock)
        return self._clients


def _explain(status: int, text: str) -> FingptError | None:
    """Its pages for those who ask too fast or do not say who they are, which come as 403 or 429."""
    if status in (403, 429) and "Request Rate Threshold Exceeded" in text:
        return TransientError(
            "EDGAR was asked more than ten times a second from this network, and blocks it for ten minutes; then the "
            "same command goes on from here."
        )
    if status == 403 and "Undeclared Automated Tool" in text:
        return DataError(
            "EDGAR does not accept the contact that requests carry; set contact of edgar to a mail address of yours."
        )
    return None


def _texts(answer: Answer) -> list[bytes]:
    """The documents of an answer."""
    texts = answer.body.split(_BETWEEN)[1:]
    if not texts:
        raise DataError(f"{where(answer)} is no sequence of JSON texts; the raw store is damaged.")
    return texts


def _accepted(filing: Filing, answer: Answer) -> datetime:
    """When a filing was public, at the latest.

    EDGAR writes the time of acceptance with a Z, but for about a quarter of the companies it is the clock of New York,
    and nothing says for which. So the later of both readings counts; for the others it is four or five hours late.
    """
    return min(filing.latest_acceptance, max(answer.retrieved_at, filing.earliest_acceptance))
