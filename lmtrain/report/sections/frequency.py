"""Perplexity by the frequency of words."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from lmtrain.report.markdown import code, number, per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section
from lmtrain.report.style import (
    WIDTH,
    aside,
    finite_range,
    legend_of,
    logarithmic,
    look,
    new_figure,
    percent_tick,
)


def _words(found: Found) -> list[str]:
    """Which words are hard."""
    rows = []
    for name in dict.fromkeys(band.name for diagnosis in found for band in diagnosis.bands):
        bands = [next((b for b in d.bands if b.name == name), None) for d in found]
        figures = [number(b.perplexity) if b else "–" for b in bands]
        totals = [diagnosis.costly_words.total_nats for diagnosis in found]
        shares = [percent(b.nll_nats / t) if b and t else "–" for b, t in zip(bands, totals, strict=True)]
        tokens = next(band.num_tokens for band in bands if band)
        rows.append([code(name) if "<" in name else name, f"{tokens:,}", *figures, *shares])
    names = [diagnosis.name for diagnosis in found]
    return [
        "Words by how often the training text has them: rank 1 is its most frequent one, `<eos>` and `<unk>` "
        "counted, which stand apart here. A model has seen rare words too seldom to expect them, so that few "
        "of them make up much of what a text costs.",
        *per_model(names, [_frequency_finding(diagnosis) for diagnosis in found]),
        *table(["rank", "tokens", *names, *(f"{name}: share of cost" for name in names)], rows),
    ]


def _frequency_finding(diagnosis: Diagnosis) -> str:
    words = [band for band in diagnosis.bands if not band.name.startswith("<")]
    if not words and not diagnosis.words_by_frequency:
        return (
            "The words of this model are those of a list, whose order says nothing of how often the training "
            "text has them: `<eos>` and `<unk>` alone are told."
        )
    if not words:
        return "The text has no word that the model knows."
    frequent, rare = words[0], words[-1]
    if frequent is rare:
        return (
            f"All words but `<eos>` and `<unk>` are of rank {rare.name}, with a perplexity of "
            f"{number(rare.perplexity)}: there is nothing to compare."
        )
    total = diagnosis.costly_words.total_nats
    tokens, cost = rare.num_tokens / diagnosis.num_tokens, rare.nll_nats / total if total else 0.0
    return (
        f"Words of rank {frequent.name} have a perplexity of {number(frequent.perplexity)}, those of rank "
        f"{rare.name} one of {number(rare.perplexity)}: the latter are {percent(tokens)} of the tokens and "
        f"{percent(cost)} of the cost."
    )


def _picture(found: Found) -> Figure:
    """Perplexity of words by how frequent they are, above their share of the text and of the cost."""
    names = list(dict.fromkeys(band.name for diagnosis in found for band in diagnosis.bands))
    figure = new_figure(WIDTH, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    width = 0.8 / len(found)
    for i, diagnosis in enumerate(found):
        style = look(i)
        ranks = np.array([names.index(band.name) for band in diagnosis.bands])
        places = ranks + aside(i, len(found), width)
        above.plot(
            places,
            [band.perplexity for band in diagnosis.bands],
            color=style.colour,
            linestyle="none",
            marker=style.marker,
            markersize=7,
            label=diagnosis.name,
        )
        total = diagnosis.costly_words.total_nats or 1.0
        below.bar(
            places,
            [b.nll_nats / total for b in diagnosis.bands],
            width,
            color=style.colour,
            edgecolor="white",
        )
        shares = [band.num_tokens / diagnosis.num_tokens for band in diagnosis.bands]
        below.plot(
            places, shares, color="black", linestyle="none", marker="_", markersize=14, markeredgewidth=2
        )
    logarithmic(above, *finite_range([b.perplexity for d in found for b in d.bands if b.perplexity > 0]))
    above.set_ylabel("perplexity")
    below.set_ylabel("share")
    below.yaxis.set_major_formatter(FuncFormatter(percent_tick))
    below.set_xticks(range(len(names)), names)
    below.set_xlabel("rank of the word in the training text")
    below.set_ylim(top=1.35 * below.get_ylim()[1])  # room for the legend
    below.legend(
        handles=[
            Patch(color=look(0).colour, label="bar: of the cost"),
            Line2D(
                [],
                [],
                color="black",
                linestyle="none",
                marker="_",
                markersize=14,
                label="line: of the tokens",
            ),
        ],
        loc="upper left",
        ncols=2,
    )
    legend_of(above, len(found))
    return figure


SECTION = Section("Which words are hard", "frequency", _words, _picture)
