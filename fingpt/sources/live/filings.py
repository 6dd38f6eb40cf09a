"""What the SEC's submissions document says of a company and its filings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter

from fingpt.errors import DataError
from fingpt.sources.live.answers import Shape, parse
from fingpt.sources.live.failures import excerpt
from fingpt.sources.month import Month

_NEW_YORK = ZoneInfo("America/New_York")


class Columns(Shape):
    """Filings, one list per field; all lists have one length."""

    accessionNumber: list[str]  # noqa: N815 (the service's names, as all of these)
    filingDate: list[date]  # noqa: N815
    reportDate: list[str]  # noqa: N815
    acceptanceDateTime: list[str]  # noqa: N815
    form: list[str]
    items: list[str]
    isXBRL: list[int]  # noqa: N815
    primaryDocument: list[str]  # noqa: N815


class FurtherFile(Shape):
    """A file with older filings, and which."""

    name: str
    filingFrom: date  # noqa: N815
    filingTo: date  # noqa: N815


class _Filings(Shape):
    recent: Columns
    files: tuple[FurtherFile, ...] = ()


class _FormerName(Shape):
    name: str
    to: str | None = None


class _Address(Shape):
    stateOrCountry: str | None = None  # noqa: N815
    stateOrCountryDescription: str | None = None  # noqa: N815


class _Addresses(Shape):
    business: _Address = _Address()


class Submissions(Shape):
    """A company: what it is called and was called, where it is, and its filings."""

    cik: Annotated[int, Field(gt=0, lt=10**10)]
    name: str
    entityType: str = ""  # noqa: N815
    sicDescription: str = ""  # noqa: N815
    exchanges: tuple[str | None, ...] = ()
    formerNames: tuple[_FormerName, ...] = ()  # noqa: N815
    addresses: _Addresses = _Addresses()
    filings: _Filings

    @property
    def country(self) -> str | None:
        """Where its business is: states are described by their own letters, countries by their names."""
        place = self.addresses.business
        same = place.stateOrCountry == place.stateOrCountryDescription
        return ("US" if place.stateOrCountry else None) if same else place.stateOrCountryDescription


class Filing(NamedTuple):
    """One filing. Two times of acceptance: EDGAR's time means one of them."""

    accession: str
    form: str
    filed: date
    period: date | None
    earliest_acceptance: datetime
    latest_acceptance: datetime
    items: str
    is_xbrl: bool
    document: str


_SUBMISSIONS, _COLUMNS = TypeAdapter(Submissions), TypeAdapter(Columns)


def submissions(body: bytes, where: str) -> Submissions:
    """The document about a company; DataError when it is none."""
    return parse(_SUBMISSIONS, body, where)


def further(body: bytes, where: str) -> Iterator[Columns]:
    """The filings of a further file; nothing for a document of figures, which may stand beside it."""
    if b'"accessionNumber"' in body:
        yield parse(_COLUMNS, body, where)


def overlaps(page: FurtherFile, month: Month) -> bool:
    """Whether a further file may have filings that were accepted in the month; they are filed up to a weekend later."""
    return page.filingFrom <= month.last + timedelta(days=5) and page.filingTo >= month.first


def rows(columns: Columns, where: str) -> Iterator[Filing]:
    """The filings of one list of columns."""
    fields = [getattr(columns, name) for name in Columns.model_fields]
    if len({len(each) for each in fields}) > 1:
        raise DataError(
            f"{where} has columns of different lengths; ask again later, or leave edgar out."
        )
    for accession, filed, period, accepted, form, items, xbrl, document in zip(
        *fields, strict=True
    ):
        early, late = _acceptances(accepted, where)
        try:
            ended = date.fromisoformat(period) if period else None
        except ValueError:
            ended = None
        yield Filing(accession, form, filed, ended, early, late, items, bool(xbrl), document)


def name_on(about: Submissions, day: date) -> str:
    """What the company was called on a day: its former name that ended first after it, else the present one."""
    ends = [(each.to[:10], each.name) for each in about.formerNames if each.to]
    after = sorted(pair for pair in ends if pair[0] > day.isoformat())
    return after[0][1] if after else about.name


def _acceptances(text: str, where: str) -> tuple[datetime, datetime]:
    """(as Greenwich's clock, as New York's), both UTC."""
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise DataError(
            f"{where} has '{excerpt(text)[:40]}' as a time of acceptance; the service may have changed: leave it out."
        ) from None
    return moment.replace(tzinfo=UTC), moment.replace(tzinfo=_NEW_YORK).astimezone(UTC)
