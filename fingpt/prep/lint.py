"""The leak linter: every rule over a split data set, as typed findings with count, example and severity.

A new rule is one function here, from the cases of all splits to findings, and one entry in `RULES`; raise `VERSION`.
Severities: `error` makes a score on these rows worth nothing as evidence of skill, `warning` deserves a look before
anyone trusts a score, `info` is context. The linter never changes or drops a row and never fails a run.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from fingpt.prep.blocks import week_number
from fingpt.prep.facts import Case, PastWeek, facts, label_of
from fingpt.prep.importer import DISAGREES, OUTSIDE_GRAMMAR, RESTORED
from fingpt.prompts.examples import Example
from fingpt.runs.manifest import Finding

VERSION = 1

SEVERITIES = ("error", "warning", "info")

UNKNOWABLE_DAYS = 10
"""No large US company reports a quarter within ten days of its end."""

FILING_DAYS = 40
"""Deadline of a large accelerated filer's quarterly report (SEC form 10-Q)."""

_CENT = 0.005  # prices are printed with two decimals

FEW_WEEKS = 26
"""Below half a year of test weeks no realistic difference between two models can be shown: one market moves all."""

# Marks of the Llama-2, Llama-3 and DeepSeek templates; the last have full-width bars.
_TAGS = re.compile(
    r"\[/?INST\]|<</?SYS>>|</?s>|<\|[a-z0-9_]{1,40}\|>|<｜[^｜\n]{1,40}｜>|</?think>",
    re.IGNORECASE,
)

Cases = Mapping[str, Sequence[Case]]
"""Split → its cases."""


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
            yield finding("market-cap-constant", "error", split, hits, len(part), text)


def market_cap_canary(cases: Cases) -> Iterator[Finding]:
    """How far a rule that only divides two printed numbers gets: it should be right half of the time."""
    from statsmodels.stats.proportion import proportion_confint

    for split, part in cases.items():
        asked = [case for case in part if case.cap_says_up is not None]
        hits = [case for case in asked if case.cap_says_up == (case.example.margin > 0)]
        if not asked:
            continue
        low, high = proportion_confint(len(hits), len(asked), method="wilson")
        text = (
            f'The rule "up if market capitalisation / shares is above the last price" is right in {len(hits)} of '
            f"{len(asked)} rows: {percent(len(hits) / len(asked))} "
            f"(95 % interval {percent(low)} to {percent(high)}). "
            + ("The prompt tells the future." if low > 0.5 else "That is no more than chance.")
        )
        yield finding(
            "market-cap-canary", "error" if low > 0.5 else "info", split, hits, len(asked), text
        )


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
            yield finding("truncated-last-week", severity, split, hits, len(part), text)


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


def recoverable_labels(cases: Cases) -> Iterator[Finding]:
    """Labels that the prices in a later prompt of the same symbol give away, and those that they contradict."""
    heads: dict[tuple[str, str], tuple[PastWeek, set[str]]] = {}
    for split, part in cases.items():
        for case in part:
            for week in case.facts.weeks:
                key = (case.example.symbol, f"{week.start} to {week.end}")
                heads.setdefault(key, (week, set()))[1].add(split)
    for split, part in cases.items():
        told = [
            (c, *heads[k]) for c in part if (k := (c.example.symbol, c.example.period)) in heads
        ]
        agree = [case for case, week, _ in told if case.example.label in _labels(week, 0)]
        lined = sum("prediction-line-restored" not in case.example.notes for case in agree)
        if agree:
            text = (
                f"The label stands in a later prompt's price line: {len(agree)} of {len(told)} checkable labels equal "
                f"its bin ({lined} of them with a published prediction line). A random split would print answers in "
                "training prompts; a calendar split does not."
            )
            yield finding("label-in-later-prompt", "warning", split, agree, len(part), text)
        wrong = [c for c, week, _ in told if c.example.label not in _labels(week, _CENT)]
        if wrong:
            text = f"A later prompt's prices contradict the label in {len(wrong)} of {len(told)} checkable rows."
            yield finding("label-contradicts-prices", "error", split, wrong, len(part), text)
        leaked = [case for case, _, splits in told if split == "test" and "train" in splits]
        if leaked:
            text = "Test labels are printed as prices inside training prompts: the test measures memory, not skill."
            yield finding("test-label-in-train-prompt", "error", split, leaked, len(part), text)


def overlapping_weeks(cases: Cases) -> Iterator[Finding]:
    """Training rows whose forecast week reaches into the test weeks, or touches them without an embargo."""
    test, train = cases.get("test", ()), cases.get("train", ())
    if not test or not train:
        return
    first = min(case.example.start for case in test)
    hits = [case for case in train if case.example.end > first]
    if hits:
        text = f"Training rows whose forecast week ends after the test weeks begin ({first})."
        yield finding("weeks-overlap", "error", "train", hits, len(train), text)
    close = [case for case in train if 0 <= (first - case.example.end).days < 7]
    if close:
        text = f"Training rows whose forecast week ends less than a week before the test weeks begin ({first})."
        yield finding("no-embargo", "info", "train", close, len(train), text)


def _labels(week: PastWeek, slack: float) -> set[str | None]:
    """Labels that the two prices can stand for when each is off by up to `slack`."""
    shifts = (-slack, 0.0, slack)
    return {label_of(week.price_start + a, week.price_end + b) for a in shifts for b in shifts}


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


def duplicates(cases: Cases) -> Iterator[Finding]:
    """Rows that ask for the same symbol and week twice, and headlines that stand twice in one prompt."""
    asked = Counter((case.example.symbol, case.example.period) for case in all_cases(cases))
    for split, part in cases.items():
        hits = [case for case in part if asked[case.example.symbol, case.example.period] > 1]
        if hits:
            text = "Several rows ask for the same symbol and week, within a split or across splits."
            yield finding("duplicate-question", "error", split, hits, len(part), text)
        twice = [
            case for case in part if len(set(case.facts.headlines)) < len(case.facts.headlines)
        ]
        if twice:
            total = sum(len(case.facts.headlines) for case in part)
            extra = sum(len(c.facts.headlines) - len(set(c.facts.headlines)) for c in twice)
            text = (
                f"A headline stands twice in one prompt: {extra} of {total} headlines "
                f"({100 * extra / total:.1f} %) are repeats."
            )
            yield finding("duplicate-headline", "info", split, twice, len(part), text)


def template_tags(cases: Cases) -> Iterator[Finding]:
    """Chat template marks inside prompt text or answer: they are trained and shown as plain text."""
    for split, part in cases.items():
        found = {
            case: sorted(set(_TAGS.findall(f"{case.example.user}\n{case.example.answer}")))
            for case in part
        }
        hits = [case for case, tags in found.items() if tags]
        if hits:
            seen = ", ".join(sorted({tag for tags in found.values() for tag in tags})[:6])
            text = f"Template marks stand inside the text ({seen}); they are encoded as plain text, never as marks."
            yield finding("template-tags-in-text", "warning", split, hits, len(part), text)


def wrong_asset_word(cases: Cases) -> Iterator[Finding]:
    """A stock prompt that asks for the movement of something else, such as a cryptocurrency."""
    for split, part in cases.items():
        hits = [
            case
            for case in part
            if case.facts.asset not in (None, "stock", "share")
            and not case.example.symbol.endswith("-USD")
        ]
        if hits:
            words = ", ".join(sorted({f"'{case.facts.asset}'" for case in hits})[:3])
            text = f"The closing instruction of a stock prompt asks for the price movement of a {words}."
            yield finding("wrong-asset-word", "warning", split, hits, len(part), text)


def answers(cases: Cases) -> Iterator[Finding]:
    """What the importer noted: prediction lines restored, in disagreement with the label, outside its grammar."""
    noted = (
        (
            RESTORED,
            "warning",
            "The answer had no prediction line; the trained answer got it back from the label.",
        ),
        (
            DISAGREES,
            "error",
            "The answer's prediction line says something else than the label; both were kept.",
        ),
        (
            OUTSIDE_GRAMMAR,
            "warning",
            "The answer's prediction line is outside the label grammar; it was kept.",
        ),
    )
    for split, part in cases.items():
        for rule, severity, text in noted:
            hits = [case for case in part if rule in case.example.notes]
            if hits:
                yield finding(rule, severity, split, hits, len(part), text)


def balance(cases: Cases) -> Iterator[Finding]:
    """How many labels go up, and whether the test split has weeks enough."""
    for split, part in cases.items():
        if not part:
            continue
        up = [case for case in part if case.example.margin > 0]
        text = (
            f"{len(up)} labels go up, {len(part) - len(up)} down: a constant answer is right in "
            f"{100 * max(len(up), len(part) - len(up)) / len(part):.1f} % of rows."
        )
        yield finding("label-balance", "info", split, up, len(part), text)
    test = cases.get("test", ())
    weeks = len({week_number(case.example) for case in test})
    if test and weeks < FEW_WEEKS:
        text = (
            f"The {len(test)} test rows lie in {weeks} distinct weeks, and rows of one week share the market: the "
            "effective sample is far smaller than the row count."
        )
        yield Finding(
            rule="few-test-weeks",
            severity="warning",
            split="test",
            count=weeks,
            of=len(test),
            text=text,
        )


RULES = (
    constant_market_cap,
    market_cap_canary,
    early_fundamentals,
    truncated_last_week,
    recoverable_labels,
    overlapping_weeks,
    duplicates,
    template_tags,
    wrong_asset_word,
    answers,
    balance,
)


def lint(parts: Mapping[str, Sequence[Example]]) -> tuple[Finding, ...]:
    """All findings over `parts` (split → examples), errors first; a rule that finds nothing gives none."""
    cases = {
        split: tuple(Case(example, facts(example)) for example in part)
        for split, part in parts.items()
        if part
    }
    found = (finding for rule in RULES for finding in rule(cases))
    return tuple(sorted(found, key=lambda item: SEVERITIES.index(item.severity)))


def all_cases(cases: Cases) -> list[Case]:
    """The cases of all splits, train first."""
    return [case for part in cases.values() for case in part]


def finding(
    rule: str, severity: str, split: str, hits: Sequence[Case], of: int, text: str
) -> Finding:
    """A finding that counts `hits` and shows the first."""
    return Finding(
        rule=rule,
        severity=severity,
        split=split,
        count=len(hits),
        of=of,
        text=text,
        example=hits[0].name if hits else "",
    )


def percent(share: float) -> str:
    """`share` as a percentage with one decimal."""
    return f"{100 * share:.1f} %"
