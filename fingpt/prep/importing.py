"""The importer: a stream of raw rows becomes Examples per split and a list of rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fingpt.errors import DataError
from fingpt.prep.normalize import normalize
from fingpt.prep.raw_rows import RawRow, Reason, Reject
from fingpt.prompts.examples import Example

MAX_TEXT_BYTES = 1 << 30
"""All rows are held in memory while they are split: at most 1 GiB of text (about 100,000 published rows)."""


@dataclass(frozen=True)
class Imported:
    """Examples by the source's own splits in source order, and the rows that were refused."""

    rows: dict[str, list[Example]]
    rejects: tuple[Reject, ...]

    @property
    def read(self) -> int:
        """Number of rows that the source holds."""
        return sum(map(len, self.rows.values())) + len(self.rejects)

    @property
    def reasons(self) -> dict[str, int]:
        """Refused rows by reason, the most frequent first."""
        return dict(Counter(str(reject.reason) for reject in self.rejects).most_common())


def import_rows(stream: Iterable[RawRow | Reject], max_reject_rate: float) -> Imported:
    """Normalize every row of `stream`; an exact repetition within a split is refused, for ids must be unique.

    Raises DataError when the source holds no rows, when more than the share `max_reject_rate` is refused (with counts
    by reason and the first place), or when the rows exceed 1 GiB of text.
    """
    rows: dict[str, list[Example]] = {}
    rejects: list[Reject] = []
    seen: dict[tuple[str, str], int] = {}
    size = 0
    for row in stream:
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        found = normalize(row)
        if isinstance(found, Reject):
            rejects.append(found)
            continue
        first = seen.setdefault((row.split, found.id), row.line)
        if first != row.line:
            rejects.append(row.reject(Reason.DUPLICATE, f"the row repeats line {first} exactly"))
            continue
        rows.setdefault(row.split, []).append(found)
        size += 2 * (len(found.prompt) + len(found.answer))
        if size > MAX_TEXT_BYTES:
            raise DataError(
                f"The source holds more than {MAX_TEXT_BYTES >> 20} MiB of text at {row.file} line {row.line}; "
                "cut it into smaller sources."
            )
    imported = Imported(rows, tuple(rejects))
    _check(imported, max_reject_rate)
    return imported


def _check(imported: Imported, max_reject_rate: float) -> None:
    if not imported.read:
        raise DataError("The source holds no rows: every split is empty; check what was exported.")
    rate = len(imported.rejects) / imported.read
    if rate > max_reject_rate:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in imported.reasons.items())
        first = imported.rejects[0]
        raise DataError(
            f"{len(imported.rejects)} of {imported.read} rows cannot be read ({reasons}; first: {first.file} line "
            f"{first.line}: {first.detail}), but only {100 * max_reject_rate:g} % may be refused; mend the source, or "
            "raise prep.max_reject_rate."
        )
