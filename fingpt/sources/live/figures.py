"""Figures of the SEC's companyfacts document, read by edgartools: by report, under names that companies share.

edgartools knows which tags mean revenue; companies use several. Only figures of the reported period itself are taken,
as that report states them: no prior year beside it, no later restatement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from fingpt.errors import DataError, SetupError
from fingpt.reading import RECORD_BYTES, Loading, Unreadable, parse_object

if TYPE_CHECKING:
    from edgar.entity.models import FinancialFact
    from edgar.entity.parser import EntityFactsParser

_BALANCES = (
    "total_assets",
    "total_liabilities",
    "stockholders_equity",
    "cash_and_equivalents",
    "long_term_debt",
)
_FLOWS = (
    "revenue",
    "gross_profit",
    "operating_income",
    "net_income",
    "earnings_per_share_diluted",
    "research_and_development",
    "operating_cash_flow",
)
_UNITS = {"earnings_per_share_diluted": "USD per share"}
# A quarter has 12 to 14 weeks, a year 51 to 54. Cash flows of later quarters count from the year's start: no quarter.
_QUARTER_DAYS, _YEAR_DAYS = (80, 100), (350, 380)


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one report."""

    facts: tuple[FinancialFact, ...]

    def metrics(self, period_end: date, form: str) -> dict[str, float]:
        """Name -> figure of the period that ended on `period_end`: its quarter for 10-Q, its year for other forms.

        In US dollars, or dollars per share. What the report does not state is not there.
        """
        from edgar.standardization import get_synonym_groups

        least, most = _QUARTER_DAYS if form.startswith("10-Q") else _YEAR_DAYS
        known: dict[tuple[str, str], float] = {}
        for fact in self.facts:
            if fact.period_end != period_end or fact.numeric_value is None:
                continue
            days = (fact.period_end - fact.period_start).days if fact.period_start else 0
            if not days or least <= days <= most:
                tag = fact.concept.rpartition(":")[2]
                known.setdefault((tag, fact.unit), fact.numeric_value)
        tags = get_synonym_groups()
        found = {}
        for name in (*_FLOWS, *_BALANCES):
            unit = _UNITS.get(name, "USD")
            values = [known[tag, unit] for tag in tags.get_synonyms(name) if (tag, unit) in known]
            if values:
                found[name] = values[0]
        return found


def read_figures(body: bytes, where: str) -> Mapping[str, Report]:
    """Accession number -> report, of a companyfacts document; DataError when it is none."""
    try:
        document = parse_object(body, RECORD_BYTES)
    except Unreadable as fault:
        raise DataError(f"{where} {fault}; ask again later, or leave edgar out.") from None
    reader = _library()
    with Loading(where, "ask again later, or leave edgar out"):
        entity = reader.parse_company_facts(document)
    if entity is None:  # the library logs why and returns nothing
        raise DataError(f"{where} has no figures that edgartools can read; leave edgar out.")
    reports: dict[str, list[FinancialFact]] = {}
    for fact in entity:
        reports.setdefault(fact.accession, []).append(fact)
    return {accession: Report(tuple(facts)) for accession, facts in reports.items()}


def titles(items: str) -> Iterable[str]:
    """The titles of a current report's items ("2.02,9.01"), without exhibits, which say nothing."""
    _library()
    from edgar.company_reports.current_report import CurrentReport

    for number in filter(None, (each.strip() for each in items.split(","))):
        known = CurrentReport.structure.get_item(f"ITEM {number}")
        if number != "9.01":
            yield known["Title"] if known else f"item {number}"


def _library() -> type[EntityFactsParser]:
    """Edgartools' reader; importing it makes a folder of its own, by default in the home."""
    try:
        from edgar.entity.parser import EntityFactsParser
    except OSError as error:
        raise SetupError(
            f"edgartools cannot make its folder ({error}); set EDGAR_LOCAL_DATA_DIR to a folder that can be written."
        ) from None
    return EntityFactsParser
