"""Companies and phrases of the synthetic sample: data only, all of it invented.

An event is something that a headline can report. Its `sign` says whether an analyst lists it among the positive
developments (+1), the concerns (-1) or nowhere (0). Events of the outlook family are `telling`: the week after them the
price moves in their direction; all others say nothing about the next week. Good and bad events have alike lengths and
marks, and no word stands in most of one kind: what tells is what the news say, not how they are written.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Company:
    """An invented company; `thing` is what it makes, in the plural."""

    name: str
    symbol: str
    industry: str
    thing: str
    since: int


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of news: texts with the slots {name}, {thing}, {place} and {number} (a percentage)."""

    sign: int
    telling: bool
    headline: str
    summary: str
    point: str


_TRADES: tuple[tuple[str, str, str], ...] = (
    ("Tools", "Machinery", "drills"),
    ("Grain", "Food", "oat snacks"),
    ("Optics", "Technology", "lenses"),
    ("Freight", "Transport", "cargo routes"),
    ("Pharma", "Health Care", "vaccines"),
    ("Energy", "Utilities", "wind parks"),
    ("Circuits", "Technology", "power chips"),
    ("Textiles", "Retail", "rain coats"),
    ("Savings", "Financials", "loans"),
    ("Paper", "Materials", "cartons"),
    ("Motors", "Automobiles", "electric vans"),
    ("Cloud", "Software", "payroll services"),
)
_SAMPLE_STEMS = (
    *("Ferrowick", "Aldermoor", "Quillhaven", "Brackenfell", "Ostermere", "Thistlewane"),
    *("Corvanta", "Lindenrook", "Marrowgate", "Pellisande", "Vandrelle", "Nimbusel"),
)
_PRACTICE_STEMS = (
    *("Ashgrovia", "Bellwyther", "Cinderholm", "Dunmarrow", "Eskaline", "Foxbarrow"),
    *("Glimmerton", "Hawkesund", "Ivorwyck", "Jarrowmill", "Kestrelby", "Larkenfold"),
    *("Mossingley", "Northwelle", "Oakhurstel", "Pinderfane", "Quarrendon", "Ravensel"),
    *("Silverbeck", "Tamberlyn", "Umberfield", "Vexholme", "Wrenmarch", "Yarrowdale"),
)


def _companies(stems: tuple[str, ...]) -> tuple[Company, ...]:
    made = []
    for number, stem in enumerate(stems):
        suffix, industry, thing = _TRADES[number % len(_TRADES)]
        symbol = (stem[:3] + stem[-1]).upper()
        made.append(Company(f"{stem} {suffix}", symbol, industry, thing, 1962 + 3 * number))
    return tuple(made)


SAMPLE_COMPANIES = _companies(_SAMPLE_STEMS)
"""The companies of the shipped sample."""

PRACTICE_COMPANIES = _companies(_PRACTICE_STEMS)
"""Other companies, for text that must not meet the sample's test rows."""

PLACES = ("Norvale", "the Delta states", "Eastmark", "the Lowlands", "Sundhaven", "Karsk")

EVENTS: tuple[Event, ...] = (
    Event(
        *(1, True, "{name} raises its full-year outlook"),
        "Management now expects sales of {thing} to grow by {number}% and speaks of strong demand.",
        "The company raised its full-year outlook and expects {number}% growth in sales of {thing}.",
    ),
    Event(
        *(1, True, "Raised outlook: {name} sees more orders from {place}"),
        "Order books are fuller than planned, and the forecast goes up by {number}%.",
        "More orders from {place} lifted the forecast by {number}%.",
    ),
    Event(
        *(-1, True, "{name} cuts its full-year outlook"),
        "Management now expects sales of {thing} to fall by {number}% and speaks of weak demand.",
        "The company cut its full-year outlook and expects a {number}% fall in sales of {thing}.",
    ),
    Event(
        *(-1, True, "Outlook cut: {name} loses orders from {place}"),
        "Order books are thinner than planned, and the forecast goes down by {number}%.",
        "Lost orders from {place} lowered the forecast by {number}%.",
    ),
    Event(
        *(1, False, "{name} opens a plant in {place}"),
        "The new site will raise output of {thing} by {number}% within three years.",
        "A new plant in {place} adds {number}% to the output of {thing}.",
    ),
    Event(
        *(1, False, "Customers like the new {thing} of {name}"),
        "A survey puts the brand {number}% ahead of its nearest rival.",
        "Customers rate the new {thing} {number}% ahead of the nearest rival.",
    ),
    Event(
        *(1, False, "{name} and a partner in {place} share research"),
        "The agreement should save {number}% of development costs.",
        "A research partner in {place} saves {number}% of development costs.",
    ),
    Event(
        *(1, False, "{name} buys back shares"),
        "The board approved a programme worth {number}% of the capital.",
        "A buyback of {number}% of the capital supports the share price.",
    ),
    Event(
        *(-1, False, "Strike slows {name} in {place}"),
        "Workers stay away and {number}% of all deliveries of {thing} are late.",
        "A strike in {place} delays deliveries of {thing}.",
    ),
    Event(
        *(-1, False, "Raw materials of {name} get dearer"),
        "Input costs rose by {number}% in a month and squeeze margins.",
        "Input costs rose by {number}% and squeeze margins.",
    ),
    Event(
        *(-1, False, "Regulator in {place} looks into {name}"),
        "The inquiry concerns {number}% of its {thing} and their labels.",
        "A regulator in {place} examines the labels of the {thing}.",
    ),
    Event(
        *(-1, False, "New rival takes aim at {name}"),
        "A young company offers {thing} at tariffs {number}% lower.",
        "A new rival offers {thing} at tariffs {number}% lower.",
    ),
    Event(
        *(0, False, "{name} names a new head of finance"),
        "The change had been announced and strategy stays as it is.",
        "",
    ),
    Event(
        *(0, False, "What analysts ask {name} this season"),
        "Questions about {thing}, costs and plans in {place} stand on the list.",
        "",
    ),
    Event(
        *(0, False, "{name} hosts investors in {place}"),
        "The day gave a tour of the site and no new figures.",
        "",
    ),
)
