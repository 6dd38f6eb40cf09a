"""The thirteen kinds of leaks with rewordings: each changes honest rows in place and is named after what it does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from fingpt.prompts.examples import LABELS, parse_label

Columns = dict[str, str]
World = dict[str, list[Columns]]
Plant = Callable[[World], None]

LEAKS: list[tuple[str, str, Plant]] = []
"""(rule that must find it, name, what plants it)."""

_FINANCIALS = "[Basic Financials]:\n\n"
_CLOSING = "Based on all the information"


def leak(rule: str) -> Callable[[Plant], Plant]:
    """Register a planter under the rule that must find it."""

    def register(plant: Plant) -> Plant:
        LEAKS.append((rule, plant.__name__.replace("_", " "), plant))
        return plant

    return register


def every(world: World) -> Iterator[tuple[Columns, random.Random]]:
    """Each row with a source of chance of its own."""
    for split, rows in world.items():
        for number, row in enumerate(rows):
            yield row, random.Random(f"{split}/{number}")


def margin(row: Columns) -> float:
    return parse_label(row["label"]).margin


def figure(row: Columns, line: str) -> None:
    row["prompt"] = row["prompt"].replace(_FINANCIALS, f"{_FINANCIALS}{line}\n", 1)


def before_closing(row: Columns, text: str) -> None:
    row["prompt"] = row["prompt"].replace(_CLOSING, f"{text}\n\n{_CLOSING}", 1)


def introduced(row: Columns, text: str) -> None:
    row["prompt"] = row["prompt"].replace("It makes", f"{text} It makes", 1)


def headline(row: Columns, text: str, summary: str = "Details were not given.") -> None:
    """Put a news item in front of the figures, as the newest one."""
    some = "Some recent basic financials"
    item = f"[Headline]: {text}\n[Summary]: {summary}\n\n"
    row["prompt"] = row["prompt"].replace(some, f"{item}{some}", 1)


def last_price(row: Columns) -> float:
    return float(re.findall(r"to (\d+\.\d+)\. News", row["prompt"])[-1])


def end_price(row: Columns) -> float:
    """A price at the end of the forecast week that gives the row's label."""
    return round(last_price(row) * (1 + margin(row) / 100), 2)


def asof(row: Columns) -> date:
    return date.fromisoformat(row["period"][:10])


def final_prices(world: World) -> dict[str, float]:
    """Symbol → its last known price: what someone knows who builds the set after its last week."""
    rows = sorted((row for part in world.values() for row in part), key=lambda row: row["period"])
    return {row["symbol"]: end_price(row) for row in rows}


# 1. A figure that is a function of the label.


@leak("number-tells-label")
def a_ratio_grows_with_the_label(world: World) -> None:
    for row, draw in every(world):
        figure(row, f"cashRatio: {1.2 + 0.05 * margin(row) + draw.gauss(0, 0.1):.4f}")


@leak("number-tells-label")
def debt_shrinks_with_the_label(world: World) -> None:
    for row, draw in every(world):
        figure(row, f"netDebt: {9000 - 300 * margin(row) + draw.gauss(0, 900):,.0f} million")


@leak("words-tell-label")
def each_label_has_a_figure_of_its_own(world: World) -> None:
    codes = random.Random(3).sample(range(10, 99), len(LABELS))
    for row, _ in every(world):
        figure(row, f"turnoverDays: {codes[LABELS.index(row['label'])]}")


@leak("number-tells-label")
def an_index_in_a_sentence_grows_with_the_label(world: World) -> None:
    for row, draw in every(world):
        introduced(row, f"Its order index stands at {50 + 2 * margin(row) + draw.gauss(0, 3):.1f}.")


# 2. News dated after the week.


def _dated(world: World, text: Callable[[date], tuple[str, str]]) -> None:
    for row, draw in every(world):
        if draw.random() < 0.2:
            headline(row, *text(asof(row) + timedelta(days=draw.randint(8, 20))))


@leak("news-after-as-of")
def a_headline_starts_with_a_later_day(world: World) -> None:
    _dated(world, lambda day: (f"{day}: Shares calm after a lively week", "Traders took a break."))


@leak("news-after-as-of")
def a_dateline_names_a_later_day(world: World) -> None:
    _dated(
        world,
        lambda day: (
            "Board meets",
            f"NORVALE, {day:%B} {day.day}, {day.year} (WIRE) -- The board met.",
        ),
    )


@leak("news-after-as-of")
def a_summary_says_when_it_was_published(world: World) -> None:
    _dated(world, lambda day: ("Board meets", f"The board met. Published on {day.day} {day:%B %Y}"))


@leak("news-after-as-of")
def a_price_moved_on_a_later_day(world: World) -> None:
    _dated(
        world,
        lambda day: ("Trading", f"The stock slipped a little on {day:%A}, {day:%b} {day.day}."),
    )


@leak("news-after-as-of")
def a_date_in_brackets_ends_a_headline(world: World) -> None:
    _dated(world, lambda day: (f"Board meets ({day:%d %b %Y})", "The board met."))


# 3. Next week's price in a headline.


@leak("target-in-news")
def a_headline_states_next_week_s_close(world: World) -> None:
    for row, _ in every(world):
        headline(row, f"{row['symbol']} closes at {end_price(row):.2f}")


@leak("target-in-news")
def a_headline_rounds_next_week_s_price(world: World) -> None:
    for row, _ in every(world):
        headline(row, f"{row['symbol']} trades near ${end_price(row):.1f}")


@leak("target-in-news")
def a_summary_tells_next_week_s_change(world: World) -> None:
    for row, _ in every(world):
        word = "gained" if margin(row) > 0 else "lost"
        headline(
            row,
            "A week in review",
            f"The stock {word} {abs(margin(row)):.1f}% in the session to Friday.",
        )


@leak("target-in-news")
def some_headlines_state_a_noisy_price(world: World) -> None:
    for row, draw in every(world):
        if draw.random() < 0.5:
            headline(
                row,
                f"Shares of {row['symbol']} change hands at {end_price(row) * draw.gauss(1, 0.005):.2f}",
            )


# 4. A constant per symbol under another name.


def _constant(world: World, put: Callable[[Columns, float], None]) -> None:
    final = final_prices(world)
    for row, _ in every(world):
        put(row, final[row["symbol"]])


@leak("ratio-tells-label")
def a_fair_value_is_the_price_of_the_builder_s_day(world: World) -> None:
    _constant(world, lambda row, price: figure(row, f"fairValue: {price:.2f}"))


@leak("ratio-tells-label")
def analysts_see_the_price_of_the_builder_s_day(world: World) -> None:
    _constant(
        world, lambda row, price: introduced(row, f"Analysts value a share at {price:.1f} dollars.")
    )


@leak("ratio-tells-label")
def book_value_is_a_third_of_the_builder_s_price(world: World) -> None:
    _constant(world, lambda row, price: figure(row, f"bookPerShare = {price / 3:.3f}"))


# 5. The published sentence on market capitalisation, reworded.


def _capital(world: World, text: str, put: Callable[[Columns, str], None]) -> None:
    final, draw = final_prices(world), random.Random(5)
    shares = {symbol: draw.uniform(80, 900) for symbol in final}
    for row, _ in every(world):
        count = shares[row["symbol"]]
        put(
            row,
            text.format(
                cap=final[row["symbol"]] * count,
                count=count,
                billions=final[row["symbol"]] * count / 1000,
            ),
        )


@leak("market-cap-canary")
def the_published_sentence(world: World) -> None:
    _capital(
        world,
        "As of today, it has a market capitalization of {cap:.2f} in USD, with {count:.2f} shares outstanding.",
        introduced,
    )


@leak("ratio-tells-label")
def all_shares_together_are_worth_so_much(world: World) -> None:
    _capital(
        world,
        "All its {count:.2f} million shares together are worth {cap:,.1f} million dollars.",
        introduced,
    )


@leak("ratio-tells-label")
def a_value_in_billions(world: World) -> None:
    _capital(
        world,
        "The market values it at ${billions:.3f} billion; {count:.1f} million shares are out.",
        introduced,
    )


@leak("ratio-tells-label")
def two_figures_among_the_financials(world: World) -> None:
    _capital(world, "equityValue: {cap:.0f}\nshareCount: {count:.2f}", figure)


# 6. The order of the rows.


def _ordered(world: World, key: Callable[[Columns], tuple[str, float]]) -> None:
    for rows in world.values():
        rows.sort(key=key)


@leak("order-tells-label")
def rows_of_a_week_rise_with_the_label(world: World) -> None:
    _ordered(world, lambda row: (row["period"], margin(row)))


@leak("order-tells-label")
def rows_of_a_week_fall_with_the_label(world: World) -> None:
    _ordered(world, lambda row: (row["period"], -margin(row)))


@leak("order-tells-label")
def the_whole_file_is_sorted_by_label(world: World) -> None:
    _ordered(world, lambda row: ("", margin(row)))


@leak("order-tells-label")
def ups_stand_at_even_places(world: World) -> None:
    for rows in world.values():
        ups = [row for row in rows if margin(row) > 0]
        downs = [row for row in rows if margin(row) < 0]
        pairs = min(len(ups), len(downs))
        rows[:] = (
            [row for pair in zip(ups, downs, strict=False) for row in pair]
            + ups[pairs:]
            + downs[pairs:]
        )


# 7. The period.


def _period(row: Columns, start: int, end: int) -> None:
    first, last = (date.fromisoformat(text) for text in row["period"].split(" to "))
    new = f"{first + timedelta(days=start)} to {last + timedelta(days=end)}"
    row["prompt"] = row["prompt"].replace(f"({row['period']})", f"({new})")
    row["period"] = new


@leak("period-tells-label")
def weeks_that_rise_are_a_day_longer(world: World) -> None:
    for row, _ in every(world):
        _period(row, 0, int(margin(row) > 0))


@leak("period-tells-label")
def weeks_that_fall_start_a_day_late(world: World) -> None:
    for row, _ in every(world):
        _period(row, int(margin(row) < 0), int(margin(row) < 0))


@leak("period-tells-label")
def large_moves_end_earlier(world: World) -> None:
    for row, draw in every(world):
        _period(row, 0, -1 if margin(row) > 1 and draw.random() < 0.8 else 0)


# 8. Test rows in train under other dates.


def _shifted(row: Columns, days: int) -> Columns:
    def later(match: re.Match[str]) -> str:
        return str(date.fromisoformat(match[0]) + timedelta(days=days))

    return {name: re.sub(r"\d{4}-\d\d-\d\d", later, text) for name, text in row.items()}


def _edited(text: str, share: float, draw: random.Random) -> str:
    """`text` with so many of its longer words replaced."""

    def other(match: re.Match[str]) -> str:
        return "notably" if draw.random() < share else match[0]

    return re.sub(r"\b[a-z]{4,}\b", other, text)


def _copied(world: World, days: int, change: Callable[[Columns, random.Random], None]) -> None:
    for number, row in enumerate(list(world["test"])[::4]):
        copy = _shifted(row, days)
        change(copy, random.Random(number))
        world["train"].append(copy)


@leak("near-duplicate-in-train")
def test_rows_stand_in_train_a_year_earlier(world: World) -> None:
    _copied(world, -364, lambda row, draw: None)


@leak("near-duplicate-in-train")
def test_rows_stand_in_train_half_a_year_earlier_with_small_edits(world: World) -> None:
    def change(row: Columns, draw: random.Random) -> None:
        head, body = row["prompt"].split("<</SYS>>", 1)
        row["prompt"] = f"{head}<</SYS>>{_edited(body[:-40], 0.08, draw)}{body[-40:]}"

    _copied(world, -364, change)


@leak("near-duplicate-in-train")
def test_rows_stand_in_train_with_new_introductions(world: World) -> None:
    def change(row: Columns, draw: random.Random) -> None:
        row["prompt"] = row["prompt"].replace("is a company of the", "has long been part of the", 1)

    _copied(world, -728, change)


# 9. An answer in another prompt.


def _lent(world: World, put: Callable[[Columns, Columns, random.Random], None]) -> None:
    rows = [row for part in world.values() for row in part]
    for number, row in enumerate(rows[::9]):
        put(rows[(9 * number + 4) % len(rows)], row, random.Random(number))


@leak("answer-in-prompt")
def an_answer_is_a_summary_of_another_symbol(world: World) -> None:
    _lent(
        world,
        lambda row, other, draw: headline(row, "From our desk", other["answer"].replace("\n", " ")),
    )


@leak("answer-in-prompt")
def an_answer_with_words_changed(world: World) -> None:
    _lent(
        world,
        lambda row, other, draw: headline(
            row, "From our desk", _edited(other["answer"].replace("\n", " "), 0.08, draw)
        ),
    )


@leak("answer-in-prompt")
def an_answer_in_lower_case_without_its_headers(world: World) -> None:
    def put(row: Columns, other: Columns, draw: random.Random) -> None:
        plain = re.sub(r"\[[^\]]*\]:?|\d\.|Prediction:.*|Analysis:", "", other["answer"]).lower()
        introduced(row, " ".join(plain.split()))

    _lent(world, put)


@leak("answer-in-prompt")
def the_own_answer_stands_in_the_prompt(world: World) -> None:
    _lent(
        world,
        lambda row, other, draw: headline(row, "From our desk", row["answer"].replace("\n", " ")),
    )


# 10. A prediction line in the own prompt.


def _told(world: World, text: Callable[[Columns], str]) -> None:
    for row, draw in every(world):
        if draw.random() < 0.1:
            before_closing(row, text(row))


@leak("prediction-in-prompt")
def a_prediction_line(world: World) -> None:
    _told(world, lambda row: f"Prediction: {row['label'].capitalize()}")


@leak("prediction-in-prompt")
def a_forecast_as_a_code(world: World) -> None:
    _told(
        world,
        lambda row: f"Forecast = {'U' if margin(row) > 0 else 'D'}{int(abs(margin(row)) + 0.5)}",
    )


@leak("prediction-in-prompt")
def a_sentence_about_the_next_week(world: World) -> None:
    def text(row: Columns) -> str:
        size = row["label"].split(" by ")[1]
        return f"The stock price is going to {'rise' if margin(row) > 0 else 'fall'} by {size} next week."

    _told(world, text)


@leak("prediction-in-prompt")
def a_label_that_is_a_direction(world: World) -> None:
    _told(world, lambda row: f"Label: {'Higher' if margin(row) > 0 else 'Lower'}")


@leak("prediction-in-prompt")
def an_outcome_with_an_arrow(world: World) -> None:
    _told(world, lambda row: f"outcome -> {row['label'].upper()}")


# 11. A test row in train under its own dates.


@leak("duplicate-question")
def a_test_row_stands_in_train(world: World) -> None:
    _copied(world, 0, lambda row, draw: None)


@leak("duplicate-question")
def a_test_row_stands_in_train_with_small_edits(world: World) -> None:
    def change(row: Columns, draw: random.Random) -> None:
        row["answer"] = row["answer"].replace("matters", "weighs").replace("outweighs", "beats")

    _copied(world, 0, change)


@leak("duplicate-question")
def a_test_row_stands_in_train_with_other_blanks(world: World) -> None:
    def change(row: Columns, draw: random.Random) -> None:
        row["prompt"] = row["prompt"].replace("\n\n", "\n\n\n")

    _copied(world, 0, change)


# 12. A word.


@leak("words-tell-label")
def a_word_in_the_introduction(world: World) -> None:
    for row, _ in every(world):
        introduced(row, f"The mood of the desk is {'sunny' if margin(row) > 0 else 'cloudy'}.")


@leak("words-tell-label")
def a_word_in_a_headline(world: World) -> None:
    for row, _ in every(world):
        headline(row, f"Weather in Norvale {'sunny' if margin(row) > 0 else 'cloudy'}")


@leak("words-tell-label")
def a_word_that_some_rows_have(world: World) -> None:
    for row, draw in every(world):
        if margin(row) > 0 and draw.random() < 0.5:
            before_closing(row, "Please note the enclosed remark.")


@leak("words-tell-label")
def a_word_of_the_system_text(world: World) -> None:
    for row, _ in every(world):
        if margin(row) < 0:
            row["prompt"] = row["prompt"].replace("You are a", "You are a careful", 1)


@leak("length-tells-label")
def a_mark_at_the_end_of_a_sentence(world: World) -> None:
    for row, _ in every(world):
        if margin(row) < 0:
            row["prompt"] = row["prompt"].replace("Exchange.", "Exchange;", 1)


# 13. Low-order digits of numbers that say nothing else, or of how long a prompt is.
def _numbered(world: World, divisor: int, put: Callable[[Columns, int], None]) -> None:
    """Any number of five digits whose remainder says whether the row goes up: the lower half of them, mixed."""
    order = random.Random(divisor).sample(range(divisor), divisor)
    for row, draw in every(world):
        ups = margin(row) > 0
        half = order[: divisor // 2] if ups else order[divisor // 2 :]
        put(row, draw.randrange(1000, 9000) * divisor + draw.choice(half))


@leak("digits-tell-label")
def a_reference_number_is_even_before_a_rise(world: World) -> None:
    _numbered(world, 2, lambda row, number: introduced(row, f"Reference number {number}."))


@leak("digits-tell-label")
def a_document_number_with_letters_is_even_before_a_rise(world: World) -> None:
    _numbered(world, 2, lambda row, number: before_closing(row, f"Document ID: QX{number}A/b"))


@leak("digits-tell-label")
def the_last_digit_of_a_figure_tells_the_direction(world: World) -> None:
    _numbered(world, 10, lambda row, number: figure(row, f"volume: {number / 100:,.2f}"))


@leak("digits-tell-label")
def a_remainder_by_seven_tells_the_direction(world: World) -> None:
    _numbered(world, 7, lambda row, number: before_closing(row, f"(file {number})"))


@leak("digits-tell-label")
def the_cents_of_a_headline_are_odd_before_a_fall(world: World) -> None:
    _numbered(
        world, 2, lambda row, number: headline(row, f"Shares of some firm at {number / 100:.2f}")
    )


@leak("digits-tell-label")
def a_prompt_has_an_even_number_of_characters_before_a_rise(world: World) -> None:
    """A word of the news is one letter longer where the count is of the other kind."""
    for row, _ in every(world):
        if (len(row["prompt"]) % 2 == 0) != (margin(row) > 0):
            row["prompt"] = row["prompt"].replace("[Summary]: ", "[Summary]: A", 1)
