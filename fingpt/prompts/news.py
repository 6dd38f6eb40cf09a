"""The news items inside a user text: how many there are, and the text without its oldest ones.

Knows the published form, and that of built rows: week heads `From D1 to D2, SYM's stock price …`, items of
`[Headline]: …` and `[Summary]: …`, weeks in order of time, then figures and the closing instruction. Does not count
tokens.
"""

from __future__ import annotations

import re

NO_NEWS = "No relative news reported."

_HEAD = re.compile(
    r"^From \d{4}-\d{2}-\d{2} to \d{4}-\d{2}-\d{2}, .*(?:stock|fund|cryptocurrency) price .*$",
    re.MULTILINE,
)
_MOVE = re.compile(
    r"^From (?P<start>\d{4}-\d\d-\d\d) to (?P<end>\d{4}-\d\d-\d\d), (?P<symbol>[^\n]{1,60}?)'s "
    r"(?:stock|fund|cryptocurrency) price \w{1,20} from (?P<before>\d{1,9}(?:\.\d{1,9})?) to "
    r"(?P<after>\d{1,9}(?:\.\d{1,9})?)\.(?: A dividend of (?P<paid>\d{1,9}(?:\.\d{1,9})?) per share)?",
    re.ASCII | re.MULTILINE,
)
_ITEM = re.compile(r"^\[Headline\]:", re.MULTILINE)
_AFTER_NEWS = re.compile(
    r"^(?:\[Market Sentiment Signals\]|Some recent basic financials of |\[Basic Financials\]"
    r"|\[Technical Indicators\]|\[Macro Figures\]|Based on all the information before )",
    re.MULTILINE,
)


def _weeks(user: str) -> list[tuple[int, list[int]]]:
    """For each past week, oldest first: the offset where its block ends, and the offsets of its items."""
    heads = [match.end() for match in _HEAD.finditer(user)]
    if not heads:
        return []
    tail = _AFTER_NEWS.search(user, heads[-1])
    last_end = tail.start() if tail else len(user)
    ends = [*(match.start() for match in _HEAD.finditer(user)), last_end][1:]
    return [
        (end, [match.start() for match in _ITEM.finditer(user, start, end)])
        for start, end in zip(heads, ends, strict=True)
    ]


def count_news(user: str) -> int:
    """Number of news items in all past weeks."""
    return sum(len(items) for _, items in _weeks(user))


def drop_oldest_news(user: str, count: int) -> str:
    """`user` without its `count` oldest items, whole items only; all else stays byte for byte.

    A week that loses all of its items says so in the published words. `count` above `count_news` drops all.
    """
    kept: list[str] = []
    position = 0
    for end, items in _weeks(user):
        dropped = min(count, len(items))
        count -= dropped
        if dropped:
            resume = items[dropped] if dropped < len(items) else end
            kept.append(user[position : items[0]])
            if dropped == len(items):
                kept.append(f"{NO_NEWS}\n\n")
            position = resume
    return "".join(kept) + user[position:]


def stated_moves(user: str) -> dict[tuple[str, str], float]:
    """The move in percent of every past week that the text states, a stated dividend included, by (symbol,
    `YYYY-MM-DD to YYYY-MM-DD`).
    """
    return {
        (match["symbol"], f"{match['start']} to {match['end']}"): 100
        * ((float(match["after"]) + float(match["paid"] or 0)) / float(match["before"]) - 1)
        for match in _MOVE.finditer(user)
        if float(match["before"]) > 0
    }
