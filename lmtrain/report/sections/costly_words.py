"""Words by what they cost."""

from itertools import zip_longest

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lmtrain.report.markdown import code, per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.measure.predictions import CostlyWord
from lmtrain.report.section import Found, Section
from lmtrain.report.style import GREY, entitle, look, new_panels, percent_tick

_MOST_WORDS = 15


def _words(found: Found) -> list[str]:
    """The words that cost most."""
    lines = [
        "Frequent words that are hard to foresee cost most in all; what costs most each time shows what "
        "the model does not know. Costs are in nats: a word that costs n nats had a probability of exp(-n).",
        *per_model([d.name for d in found], [_costly_finding(diagnosis) for diagnosis in found]),
    ]
    for diagnosis in found:
        costly = diagnosis.costly_words
        rows = [
            [*_cells(a, f"{a.nats:,.0f}" if a else ""), *_cells(b, f"{b.mean_nats:.2f}" if b else "")]
            for a, b in zip_longest(costly.in_all, costly.each_time)
        ]
        each_time = f"each time, from {costly.min_count} times on"
        lines += [f"**{diagnosis.name}**"] if len(found) > 1 else []
        lines += table(["most in all", "times", "nats", each_time, "times", "nats each"], rows)
    return lines


def _cells(word: CostlyWord | None, cost: str) -> list[str]:
    return [code(word.word), f"{word.count:,}", cost] if word else ["", "", ""]


def _costly_finding(diagnosis: Diagnosis) -> str:
    costly = diagnosis.costly_words
    top = costly.in_all[:10]
    share = sum(word.nats for word in top) / costly.total_nats if costly.total_nats else 0.0
    tokens = sum(word.count for word in top) / diagnosis.num_tokens
    text = (
        f"Its {len(top)} costliest words are {percent(tokens)} of the tokens and {percent(share)} of the "
        "cost."
    )
    if costly.each_time:
        worst = costly.each_time[0]
        text += f" Each {code(worst.word)} costs {worst.mean_nats:.1f} nats, more than any other word."
    return text


def _picture(found: Found) -> Figure:
    """The words that cost most, by their share of the cost of the text."""
    figure, panels = new_panels(len(found))
    for axes, diagnosis in zip(panels, found, strict=True):
        costly = diagnosis.costly_words
        words = costly.in_all[:_MOST_WORDS]
        shares = [word.nats / costly.total_nats if costly.total_nats else 0.0 for word in words]
        bars = axes.barh(range(len(words)), shares, color=look(0).colour)
        axes.bar_label(
            bars, [f" {w.count:,} × {w.mean_nats:.1f} nats" for w in words], fontsize=7.5, color=GREY
        )
        axes.set_yticks(range(len(words)), [word.word for word in words], fontsize=8)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.2)
        axes.xaxis.set_major_formatter(FuncFormatter(percent_tick))
        entitle(axes, diagnosis.name, len(found))
    panels[-1].set_xlabel("share of the cost of the text")
    return figure


SECTION = Section("The words that cost most", "costly_words", _words, _picture)
