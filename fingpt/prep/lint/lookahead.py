"""What the set's builder knew and no forecaster: market capitalisation, unfiled fundamentals, a week cut short."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from fingpt.prep.facts import Case, label_of
from fingpt.prep.lint.cases import Cases, all_cases, finding, percent, scored
from fingpt.runs.manifest import Finding

UNKNOWABLE_DAYS = 10
"""No large US company reports a quarter within ten days of its end."""

FILING_DAYS = 40
"""Deadline of a large accelerated filer's quarterly report (SEC form 10-Q)."""


def constant_market_cap(cases: Cases) -> Iterator[Finding]:
    """Market capitalisation that does not move over a symbol's weeks was taken on the day the set was built."""
    caps: dict[str, set[float]] = defaultdict(set)
    weeks: dict[str, set[str]] = defaultdict(set)
    for case in all_cases(cases):
        if case.facts.market_cap is not None:
            caps[case.example.symbol].add(case.facts.market_cap)
            weeks[case.example.symbol].add(case.example.period)
    frozen = {symbol for symbol, seen in caps.items() if len(seen) == 1 and len(weeks[symbol]) > 1}
    text = (
        f"Market capitalisation is one constant over all weeks for {len(frozen)} of {len(caps)} symbols: a value of "
        "the day the set was built, told to forecasters of the past."
    )
    for split, part in cases.items():
        hits = [
            case
            for case in part
            if case.example.symbol in frozen and case.facts.market_cap is not None
        ]
        if hits:
            found = finding("market-cap-constant", "error", split, hits, len(part), text)
            yield scored(found, _cap_right(hits))


def market_cap_canary(cases: Cases) -> Iterator[Finding]:
    """How far a rule that only divides two printed numbers gets: it should be right half of the time."""
    for split, part in cases.items():
        asked = [case for case in part if case.cap_says_up is not None]
        hits = [case for case in asked if case.cap_says_up == (case.example.margin > 0)]
        if not asked:
            continue
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(len(hits), len(asked), method="wilson")
        text = (
            f'The rule "up if market capitalisation / shares is above the last price" is right in {len(hits)} of '
            f"{len(asked)} rows: {percent(len(hits) / len(asked))} "
            f"(95 % interval {percent(low)} to {percent(high)}). "
            + ("The prompt tells the future." if low > 0.5 else "That is no more than chance.")
        )
        found = finding(
            "market-cap-canary", "error" if low > 0.5 else "info", split, hits, len(asked), text
        )
        yield scored(found, _cap_right(asked))


def truncated_last_week(cases: Cases) -> Iterator[Finding]:
    """The newest forecast week: no later prompt tells its prices, and a set built before its end labels it too early.

    Evidence is looked for: where market capitalisation is the builder's own, and cap per share gives the exact label in
    most rows of that week and in few of any other, the label was made on the day the capitalisation was.
    """
    everyone = all_cases(cases)
    if len({case.example.period for case in everyone}) < 2:
        return
    newest = max(case.example.end for case in everyone)
    last = [case for case in everyone if case.example.end == newest]
    same = _cap_gives_label(last)
    others = _cap_gives_label([case for case in everyone if case.example.end < newest])
    proven = len(last) >= 10 and same > 0.5 and same > 2 * others
    reason = (
        "market capitalisation / shares, a figure of the day the set was built, gives the exact label in "
        f"{percent(same)} of its rows ({percent(others)} in other weeks), so the labels end where the build did"
        if proven
        else "no later prompt tells its prices, so nothing here shows that its labels cover the whole week"
    )
    for split, part in cases.items():
        hits = [case for case in part if case.example.end == newest]
        if hits:
            severity = "error" if proven else "warning"
            text = f"The last week, {hits[0].example.period}: {reason}."
            found = finding("truncated-last-week", severity, split, hits, len(part), text)
            yield scored(found, _cap_right(hits) if proven else ())


def _cap_right(part: Sequence[Case]) -> list[bool]:
    """For each row that states both numbers, whether the rule of the canary is right."""
    said = [(case, case.cap_says_up) for case in part]
    return [up == (case.example.margin > 0) for case, up in said if up is not None]


def _cap_gives_label(part: Sequence[Case]) -> float:
    """Share of rows whose exact label follows from market capitalisation per share."""
    hits = sum(
        case.facts.cap_price is not None
        and case.facts.last_price is not None
        and label_of(case.facts.last_price, case.facts.cap_price) == case.example.label
        for case in part
    )
    return hits / len(part) if part else 0.0


def early_fundamentals(cases: Cases) -> Iterator[Finding]:
    """Fundamentals of a fiscal period that had not ended, or that nobody had reported, when the forecast was due."""
    limits = (
        ("fundamentals-unknowable", "error", UNKNOWABLE_DAYS, "no company reports so soon"),
        ("fundamentals-maybe-ahead", "warning", FILING_DAYS, "the filing deadline had not passed"),
    )
    for split, part in cases.items():
        for rule, severity, days, why in limits:
            hits = [
                case
                for case in part
                if case.days_since_report is not None and case.days_since_report < days
            ]
            if hits:
                text = (
                    f"Fundamentals of a fiscal period that ended less than {days} days before the forecast was due "
                    f"({why}); by period end: {_by_fiscal_end(hits)}."
                )
                yield finding(rule, severity, split, hits, len(part), text)


def _by_fiscal_end(hits: Sequence[Case]) -> str:
    ends = Counter(case.facts.reported for case in hits)
    firms = {
        end: len({case.example.symbol for case in hits if case.facts.reported == end})
        for end in ends
    }
    shown = [f"{end}: {_rows(count)} of {_firms(firms[end])}" for end, count in ends.most_common(3)]
    more = len(ends) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"


def _firms(count: int) -> str:
    return f"{count} firm{'s' if count != 1 else ''}"
