"""Pieces of Markdown, and numbers as people read them."""

import math
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], num_left: int = 1) -> list[str]:
    """One paragraph: a table whose first ``num_left`` columns are left-aligned, the others right-aligned."""
    line = " | ".join(["---"] * num_left + ["---:"] * (len(header) - num_left))
    return ["\n".join(f"| {row} |" for row in (" | ".join(header), line, *map(" | ".join, rows)))]


def code(word: str) -> str:
    """A word of a text as it stands, whatever signs it is made of; in tables too."""
    fence = "`"
    while fence in word:
        fence += "`"
    padding = " " if word.startswith("`") or word.endswith("`") else ""
    return f"{fence}{padding}{word}{padding}{fence}".replace("|", "\\|")


def number(value: float) -> str:
    """A perplexity, to five digits at least: ``118.72``, ``12,345.6``."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.2f}" if value < 1000 else f"{value:,.1f}"


def percent(share: float) -> str:
    """``24.1 %``; ``0.03 %`` where it is small, and no finer."""
    if not math.isfinite(share):
        return "–"
    value = 100 * share
    if 0 < abs(value) < 0.01:
        return "< 0.01 %"
    return f"{value:.1f} %" if abs(value) >= 0.95 or value == 0 else f"{value:.2g} %"


def per_model(names: Sequence[str], findings: Sequence[str]) -> list[str]:
    """A paragraph for each model, its name in front where there are several."""
    if len(names) == 1:
        return list(findings)
    return [f"**{name}**: {finding}" for name, finding in zip(names, findings, strict=True)]
