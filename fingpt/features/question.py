"""The question: facts as the text that a model reads, in the structure of the published prompts. Pure.

The published structure, so that what reads published rows reads these too (`fingpt.prompts`, the leak linter): company
introduction, a head and news for each past week, figures, the closing instruction. What this adds has its own headings
behind the news. The same function makes training rows and live forecasts.
"""

from __future__ import annotations

from collections.abc import Iterator

from fingpt.features.model import Facts, Figure, PastWeek
from fingpt.features.text import figure, price
from fingpt.prompts.news import NO_NEWS

SYSTEM = (
    "You are a stock market analyst. From the news, the prices and the figures of the past weeks, list the positive "
    "developments and the potential concerns of a company, then predict how its stock price moves in the coming week, "
    "and support the prediction with an analysis. Answer in this format:\n\n[Positive Developments]:\n1. ...\n\n"
    "[Potential Concerns]:\n1. ...\n\n[Prediction & Analysis]\nPrediction: ...\nAnalysis: ..."
)


def question(facts: Facts) -> str:
    """The user part of the prompt, free of any chat template."""
    parts = (
        _introduction(facts),
        *(_week(facts, week) for week in facts.weeks),
        *_signals(facts.signals),
        *_fundamentals(facts),
        *_indicators(facts),
        *_macro(facts.macro),
        _closing(facts),
    )
    return "\n\n".join(parts)


def prompt(facts: Facts) -> str:
    """The whole prompt as the published rows have it: one string with Llama-2 marks."""
    return f"[INST]<<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{question(facts)}[/INST]"


def _introduction(facts: Facts) -> str:
    company, asset = facts.company, facts.asset
    if company is None:
        return f"[Company Introduction]:\n\n{facts.symbol} is a {asset}."
    kind = "company" if asset == "stock" else asset
    sector = f" of the {company.industry} sector" if company.industry else ""
    country = f" from {company.country}" if company.country else ""
    where = f" on {company.exchange}" if company.exchange else ""
    return (
        f"[Company Introduction]:\n\n{company.name} is a {kind}{sector}{country}. It trades under the ticker "
        f"{facts.symbol}{where}."
    )


def _week(facts: Facts, week: PastWeek) -> str:
    direction = "increased" if week.price_end > week.price_start else "decreased"
    head = (
        f"From {week.start} to {week.end}, {facts.symbol}'s {facts.asset} price {direction} from "
        f"{price(week.price_start)} to {price(week.price_end)}."
    )
    if week.dividend:
        head = f"{head} A dividend of {figure(week.dividend)} per share went to its holders."
    if not facts.has_news:
        return head
    items = [
        f"[Headline]: {item.headline}\n[Summary]: {item.summary}".rstrip() for item in week.news
    ]
    return "\n\n".join((f"{head} News during this period are listed below:", *(items or [NO_NEWS])))


def _signals(signals: tuple[Figure, ...] | None) -> Iterator[str]:
    if signals is not None:
        lines = [f"{one.name}: {figure(one.value)}" for one in signals]
        yield _block("Market Sentiment Signals", lines or ["No signal reported."])


def _fundamentals(facts: Facts) -> Iterator[str]:
    if not facts.has_fundamentals:
        return
    found = facts.fundamentals
    if found is None:
        yield "[Basic Financials]:\n\nNo basic financial reported."
        return
    yield (
        f"Some recent basic financials of {facts.symbol}, reported at {found.period_end} and filed on {found.filed}, "
        "are presented below:"
    )
    lines = [f"{name}: {figure(value)}" for name, value in found.metrics.items()]
    yield _block("Basic Financials", lines)


def _indicators(facts: Facts) -> Iterator[str]:
    if facts.indicators is not None:
        lines = [
            f"{one.name}: not available ({one.state})"
            if one.value is None
            else f"{one.name}: {figure(one.value)} ({one.state})"
            for one in facts.indicators
        ]
        yield _block("Technical Indicators", lines)


def _macro(macro: tuple[Figure, ...] | None) -> Iterator[str]:
    if macro is not None:
        lines = [
            f"{one.name}: {figure(one.value)}"
            + (
                f" ({', '.join(each for each in (one.unit, one.period) if each)})"
                if one.unit or one.period
                else ""
            )
            for one in macro
        ]
        yield _block("Macro Figures", lines or ["No macro figure reported."])


def _block(title: str, lines: list[str]) -> str:
    return f"[{title}]:\n\n" + "\n".join(lines)


def _closing(facts: Facts) -> str:
    ahead = "next week" if facts.horizon_days == 7 else f"the next {facts.horizon_days} days"
    source = "mostly from its news" if facts.has_news else "from what is known above"
    return (
        f"Based on all the information before the close of {facts.day}, list two to four positive developments and as "
        f"many potential concerns for {facts.symbol}, {source}. Then make your prediction of the {facts.symbol} "
        f"{facts.asset} price movement for {ahead} ({facts.day} to {facts.horizon_end}), with an analysis that "
        "supports it."
    )
