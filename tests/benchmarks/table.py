"""Rows of figures to text: columns as wide as they must be, numbers to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

Row = Mapping[str, float | str]


def medians(rows: Sequence[Row]) -> dict[str, float | str]:
    """One row of several of the same subject: the median of each number, the first of each text."""
    return {key: _median([row[key] for row in rows if key in row]) for key in rows[0]}


def _median(values: Sequence[float | str]) -> float | str:
    numbers = [value for value in values if not isinstance(value, str)]
    return median(numbers) if len(numbers) == len(values) else values[0]


def render(title: str, rows: Sequence[Row]) -> str:
    """A title and a table, as it is printed."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([shown(row.get(key, "-")) for key in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = ["  ".join(_fit(word, width) for word, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([f"\n## {title}", lines[0], "-" * len(lines[0]), *lines[1:]])


def _fit(word: str, width: int) -> str:
    return word.rjust(width) if word[:1].isdigit() or word == "-" else word.ljust(width)


def shown(value: float | str) -> str:
    """Three figures that matter; counts whole."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (value == int(value) and abs(value) >= 100) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
