"""What a prediction says: direction by its clause, negation, size by its direction, and what stays undecided."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.eval.statement import Move, Undecided, read_statement
from fingpt.prompts.examples import LABELS, parse_label


def reading(text: str) -> tuple[int, float | None] | str:
    move = read_statement(text)
    return (move.direction, move.margin) if isinstance(move, Move) else move


@pytest.mark.parametrize(
    ("line", "direction", "margin", "number"),
    [
        ("Up by 2-3%", 1, 2.5, 3),
        ("Down by more than 5%", -1, -5.5, 6),
        ("Up by 5+%", 1, 5.5, 6),
        ("Up by 5%+", 1, 5.5, 6),
        ("Up by more than 10%", 1, 5.5, 6),
        ("Up by 100%", 1, 5.5, 6),
        ("Down by 10-12%", -1, -5.5, 6),
        ("Up by 0.5%", 1, 0.5, 1),
        ("Up by 1.5-2.5%", 1, 2.0, 2),
        ("Up by 2%-3%", 1, 2.5, 3),
        ("Up by 2 - 3%", 1, 2.5, 3),
        ("Up by 1–2%", 1, 1.5, 2),
        ("Up by 1 to 2 percent", 1, 1.5, 2),
        ("Up between 1 and 2%", 1, 1.5, 2),
        ("Down by 1-2% despite upcoming earnings support", -1, -1.5, 2),
        ("Down by 1-2%, on supply worries", -1, -1.5, 2),
        ("Stock price update: decline by 2-3%", -1, -2.5, 3),
        ("Up by 2-3% after last week's decline", 1, 2.5, 3),
        ("Decrease; not up", -1, None, None),
        ("Not up, but down by 1-2%", -1, -1.5, 2),
        ("Down by around 3 percent", -1, -3.0, 3),
        ("-1% to -2%", -1, -1.5, 2),
        ("+1-2%", 1, 1.5, 2),
        ("−1% to −2%", -1, -1.5, 2),
        ("Flat", 0, 0.0, 0),
        ("Stay unchanged (0%)", 0, 0.0, 0),
        ("Up by 0", 0, 0.0, 0),
        ("Up by 0%", 0, 0.0, 0),
        ("Up by 2-3％", 1, 2.5, 3),
        ("Up by 2️⃣-3️⃣%", 1, 2.5, 3),
        ("Up by 2-3", 1, 2.5, 3),
        ("up by up to 2%", 1, 1.0, 1),
        ("Up to 2%", 1, 1.0, 1),
        ("**Up by 2-3%**", 1, 2.5, 3),
        ("Down by 1-2% in the week 2024-02-25 to 2024-03-03", -1, -1.5, 2),
        ("For 2024-02-25 to 2024-03-03: down by 1-2%", -1, -1.5, 2),
        ("Decline by 2024-03-03", -1, None, None),
    ],
)
def test_a_line_gives_direction_margin_and_bin(line, direction, margin, number):
    move = read_statement(line)
    assert isinstance(move, Move), move
    assert (move.direction, move.margin, move.bin) == (direction, margin, number)


def test_a_published_label_is_read_as_what_it_is_and_carries_no_flag():
    for label in LABELS:
        truth = parse_label(label)
        assert read_statement(label) == Move(truth.direction, truth.margin, truth.bin, ())


@pytest.mark.parametrize(
    ("line", "direction"),
    [
        ("Despite strong growth in tractors, the stock should slip next week", -1),
        ("On positive earnings and rising orders, shares are expected to fall", -1),
        ("Given the bullish mood and higher sales, a decline is likely", -1),
        ("While demand grows and margins increase, the price will probably drop", -1),
        ("Down by 1-2%, driven by rising costs and growing debt", -1),
        ("The share price is likely to ease as positive news is already priced in", -1),
        ("Because of falling sales, negative margins and a weak outlook, down", -1),
        ("Despite negative headlines, the stock is expected to climb", 1),
        ("Up by 1-2%, supported by lower costs and falling rates", 1),
        ("Given the decline in orders and lower margins, a surprising gain is expected", 1),
        ("The price should rise since losses at the mills are shrinking", 1),
        ("In spite of the downturn in timber, shares will advance", 1),
        ("Amid falling copper prices, a higher close is expected", 1),
        ("Shares will gain, reflecting declining debt and lower claims", 1),
    ],
)
def test_words_of_the_cause_never_decide(line, direction):
    move = read_statement(line)
    assert isinstance(move, Move), move
    assert move.direction == direction


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("The stock is not expected to climb; a dip of 1-2% is likely", (-1, -1.5)),
        ("Shares are unlikely to rise and will lose 2-3%", (-1, -2.5)),
        ("The price will fail to rebound and slide by 1-2%", (-1, -1.5)),
        ("Not a gain but a loss of 1-2%", (-1, -1.5)),
        ("Good news will not prevent a drop of 3-4%", (-1, -3.5)),
        ("Support at the mills won't avoid a decline of 1-2%", (-1, -1.5)),
        ("A gain is unlikely; the stock should drop by 2-3%", (-1, -2.5)),
        ("Shares are not expected to fall; they will rise by 1-2%", (1, 1.5)),
        ("The stock is unlikely to slide and should gain 2-3%", (1, 2.5)),
        ("Not down but up by 1-2%", (1, 1.5)),
        ("The strike cannot stop a rise of 2-3%", (1, 2.5)),
        ("A further slide is unlikely, and shares should advance by 1-2%", (1, 1.5)),
        ("It doesn't look like a decline, an increase of 1-2% is expected", (1, 1.5)),
        ("Higher rather than lower, by 1-2%", (1, 1.5)),
    ],
)
def test_negation_reaches_to_the_end_of_its_clause(line, expected):
    assert reading(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "The stock is not expected to rise",
        "Shares are unlikely to fall next week",
        "The price will fail to climb",
        "A decline is unlikely",
        "Neither up nor down",
        "No gain is expected",
        "The stock won't drop",
        "The buyback should prevent a fall",
        "The price is not going to increase",
        "Shares will hardly rise",
    ],
)
def test_a_negated_direction_is_none_and_not_its_opposite(line):
    assert reading(line) == "no direction"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Recovering from last week's slide of 4-5%, the stock should gain 1-2%", (1, 1.5)),
        ("After the recent decline, shares are expected to rise by 2-3%", (1, 2.5)),
        ("Following a drop of 6%, a rebound of 2-3% is likely", (1, 2.5)),
        ("Up by 1-2% (last week: down by 3-4%)", (1, 1.5)),
        ("The stock fell by 3% and will climb by 1-2%", (1, 1.5)),
        ("It will recover from its recent fall and gain 2-3%", (1, 2.5)),
        ("Giving back part of last week's gain of 4%, the stock should fall by 1-2%", (-1, -1.5)),
        ("After the recent rally, shares are expected to drop by 2-3%", (-1, -2.5)),
        ("Down by 1-2% (prior week: up 3-4%)", (-1, -1.5)),
        ("The stock has gained 5% and will slide by 1-2%", (-1, -1.5)),
        ("The recent rise has been strong, but a pullback of 1-2% is expected", (-1, -1.5)),
        ("It is expected to continue its recent decline", (-1, None)),
    ],
)
def test_what_was_does_not_decide(line, expected):
    assert reading(line) == expected


@pytest.mark.parametrize(
    ("verbs", "direction"),
    [
        ("rally surge jump rebound advance climb gain rise appreciate soar recover", 1),
        ("slip slide plunge tumble ease lose shed drop fall sink retreat weaken slump", -1),
    ],
)
def test_verbs_of_movement_are_known(verbs, direction):
    for verb in verbs.split():
        assert reading(f"Shares of the mill should {verb} 1-2%") == (direction, direction * 1.5)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("With 80% confidence, down by 2-3%", (-1, -2.5)),
        ("Up by 1-2% (confidence: 65%)", (1, 1.5)),
        ("There is a 60% probability that it falls by 1-2%", (-1, -1.5)),
        ("A 75% chance of a rise of 2-3%", (1, 2.5)),
        ("Down by 1-2%, likelihood 55%", (-1, -1.5)),
        ("The stock will fall and trade between $31 and $33", (-1, None)),
        ("From $40.10 to $41.30, up by 3.0%", (1, 3.0)),
        ("Rise to around $58 in 2031", (1, None)),
        ("Rise by $2 to $44", (1, None)),
        ("A decline of 2-3% after sales fell by 12%", (-1, -2.5)),
        ("Up by 1-2% on a 15% jump in orders", (1, 1.5)),
        ("Direction: down\nExpected change: 2-3%\nConfidence: 70%", (-1, -2.5)),
        ("- Direction: Up\n- Magnitude: 1-2%", (1, 1.5)),
        ("A slight rebound, potentially gaining 2-3%", (1, 2.5)),
        ("A 2-3% decrease", (-1, -2.5)),
        ("Slight increase (1-2%)", (1, 1.5)),
    ],
)
def test_size_belongs_to_its_direction(line, expected):
    assert reading(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Down by 75 basis points", (-1, -0.75)),
        ("Up by 20-40 bps", (1, 0.3)),
        ("Fall of 150 bp", (-1, -1.5)),
        ("Up by 1,5%", (1, 1.5)),
        ("Down by 0,5-1,5%", (-1, -1.0)),
        ("Up by one to two percent", (1, 1.5)),
        ("Down by two percent", (-1, -2.0)),
        ("Up by three to four per cent", (1, 3.5)),
        ("Down by half a percent", (-1, -0.5)),
        ("Up by one and a half percent", (1, 1.5)),
        ("Up by 2% or 3%", (1, 2.5)),
        ("Down by 4-3%", (-1, -3.5)),
        ("Down by -3%", (-1, -3.0)),
        ("Down by at least 3%", (-1, -3.5)),
        ("Up by 2 percentage points", (1, 2.0)),
        ("Up by no more than 2%", (1, 1.0)),
        ("U1", (1, 0.5)),
        ("D4", (-1, -3.5)),
        ("D5+", (-1, -5.5)),
        ("上涨1-2%", (1, 1.5)),
        ("下跌超过5%", (-1, -5.5)),
    ],
)
def test_sizes_are_read_in_every_writing(line, expected):
    assert reading(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "The stock is expected to remain stable",
        "Sideways",
        "Neutral",
        "Range-bound next week",
        "Hovering around its current level",
        "No significant change is expected",
        "Shares should stay relatively flat despite rising orders",
        "The price will consolidate",
        "Little changed (no positive surprises)",
        "Likely to trade within a narrow range",
        "持平",
    ],
)
def test_flat_is_read(line):
    assert reading(line) == (0, 0.0)


@pytest.mark.parametrize(
    ("line", "direction"),
    [
        ("Relatively stable with a slight upward bias", 1),
        ("Volatile, but may rise by the end of the week", 1),
        ("Mixed movement, with a modest downward trend", -1),
        ("Volatility with a slight downward tilt", -1),
        ("A slight decline, though a brief rebound could follow", -1),
        ("Shares should rise, but a minor pullback is possible", 1),
        ("Up by 1-2%, although gains may be limited", 1),
        ("The stock will ease. However, it could recover if orders hold", -1),
        ("Stable or slightly higher. Overall, a slight increase is expected", 1),
        ("Sideways or lower. Therefore, I predict a slight decline", -1),
    ],
)
def test_a_lean_or_a_conclusion_decides_and_an_objection_does_not(line, direction):
    move = read_statement(line)
    assert isinstance(move, Move), move
    assert move.direction == direction


@pytest.mark.parametrize(
    "line",
    [
        "The stock may rise or fall",
        "Stable or slightly higher",
        "A slight decline or sideways movement",
        "Neutral to slightly positive",
        "Mixed, with potential for gains",
        "Mixed performance",
        "An initial upward move, followed by a decline",
        "A slight rebound, but overall a downward trend",
        "Stable, possibly rising slightly",
        "70% up, 30% down",
        "Direction: Up\nChange: -3%",
        "- Upward movement: 2-3% increase\n- Downward movement: 1-2% decrease",
        "Volatility, potentially opening lower",
        "Up, or maybe down, by 1-2%",
        "Up by -2%",
    ],
)
def test_two_directions_without_a_lean_are_undecided(line):
    assert reading(line) in ("undecided direction", "no direction")
    assert not isinstance(read_statement(line), Move)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "...",
        "2-3%",
        "70% confidence",
        "the group will support supply",
        "$41 to $43",
        "涨跌不明",
    ],
)
def test_a_line_without_a_direction_is_refused(line):
    assert not isinstance(read_statement(line), Move)


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("Decrease; not up", "no_range"),
        ("Down by around 3 percent", "single_value"),
        ("Up by more than 2%", "open_range"),
    ],
)
def test_what_is_unusual_is_flagged(line, flag):
    move = read_statement(line)
    assert isinstance(move, Move)
    assert flag in move.flags


_WORDS = st.sampled_from(
    ("up down not but despite if stable or and with a slight upward bias mixed 2-3% , ; . ( ) from to "
     "\n fall rise -1% may").split(" ")
)  # fmt: skip


@given(
    st.text(max_size=80)
    | st.text("updown 0123456789-+.%to", max_size=60)
    | st.lists(_WORDS, max_size=30).map(" ".join)
)
def test_any_line_is_read_without_an_error_and_within_bounds(line):
    move = read_statement(line)
    if not isinstance(move, Move):
        assert move in get_args(Undecided)
    elif move.margin is not None:
        assert abs(move.margin) <= 5.5
        assert move.direction == (move.margin > 0) - (move.margin < 0)


_ENDS = [
    "{gain}s will be {undone} next week",
    "The recent {rally} looks exhausted",
    "The {rally} will fade",
    "The {rally} has run its course",
    "Expect the {rally} to stall",
    "The {rally} is over",
    "The {rally} will likely prove short-lived",
    "The stock will {shed_off} its {gain}s",
    "The stock will give back its {gain}s",
    "It is hard to see a {gain} from here",
    "The stock will struggle to extend its {rally}",
    "The stock will end its {rally} streak",
    "The {rally} is doomed",
    "{side} is priced in",
    "The gap {way} will be filled",
    "The {way}trend is likely to break",
    "Less {side} than feared",
    "The probability of a {gain} is only 30%",
    "A 35% chance of a {gain}",
    "The chance of a {gain} is low",
]
_WAYS = {
    way: dict(
        zip(("gain", "undone", "rally", "shed_off", "side", "way"), (*words, way), strict=True)
    )
    for way, words in {
        "up": ("gain", "erased", "rally", "surrender", "upside"),
        "down": ("decline", "recouped", "decline", "shake off", "downside"),
    }.items()
}


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("line", _ENDS)
def test_a_move_that_ends_is_undone_or_hardly_likely_is_never_predicted(line, way):
    text = line.format(**_WAYS[way])
    assert reading(text) == "no direction"
    other = "down" if way == "up" else "up"
    assert (
        reading(f"{text}. Overall, {other} by 2-3%") == {"up": (1, 2.5), "down": (-1, -2.5)}[other]
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Giving back last week's gains, the stock should fall by 1-2%", (-1, -1.5)),
        ("Up 4-5%, the 10% decline last month looks overdone", (1, 4.5)),
        ("Flat, with minimal upside or downside", (0, 0.0)),
        ("The probability of a decline is 70%", (-1, None)),
        ("The stock should rise 1-2% as selling pressure fades", (1, 1.5)),
        ("The bounce will be sold into, leading to a 2-3% drop", (-1, -2.5)),
        ("My best guess is a pullback of 1-2%", (-1, -1.5)),
        ("可能下跌约1-2%", (-1, -1.5)),
        ("The stock is more likely to fall than to rise", (-1, None)),
        ("Bet on a 2-3% rise, rather than on a decline", (1, 2.5)),
        ("A gain of more than 5% is likely", (1, 5.5)),
        ("A rise is as likely as a fall", "undecided direction"),
        ("The market may fall, but the stock should rise 1-2%", (1, 1.5)),
        ("The sector will rise, yet this stock should drop 1-2%", (-1, -1.5)),
        ("The market may fall", "no direction"),
        ("> Strong upside: >5% rally", (1, 5.5)),
        ("Volatile, between -3% and +3%", "undecided direction"),
    ],
)
def test_what_stands_beside_an_ending_keeps_its_direction(line, expected):
    assert reading(line) == expected
