"""Words and their nearest ones."""

import numpy as np
from matplotlib.figure import Figure

from lmtrain.report.markdown import code, per_model, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section
from lmtrain.report.style import WIDTH, entitle, new_figure


def _words(found: Found) -> list[str]:
    """The words the model takes to be alike."""
    lines = [
        "Each word is a vector to the model, and words that are used alike come to point the same way. The "
        "cosine of two vectors is 1 where they do, and about 0 where the words have nothing in common. "
        "Neighbours that make sense show that the embedding has learnt what goes with what.",
        *per_model([d.name for d in found], [_neighbours_finding(diagnosis) for diagnosis in found]),
    ]
    for diagnosis in found:
        rows = []
        for row in diagnosis.nearest_words:
            pairs = zip(row.words, row.cosines, strict=True)
            rows.append([code(row.word), ", ".join(f"{code(word)} {cosine:.2f}" for word, cosine in pairs)])
        lines += [f"**{diagnosis.name}**"] if len(found) > 1 else []
        lines += table(["word", "nearest words and their cosines"], rows, num_left=2)
    return lines


def _neighbours_finding(diagnosis: Diagnosis) -> str:
    pairs = [(row.cosines[0], row.word, row.words[0]) for row in diagnosis.nearest_words if row.words]
    if not pairs:
        return "There is no second word to compare with."
    cosine, word, other = max(pairs)
    return f"Of the words shown, {code(word)} and {code(other)} are nearest to each other: {cosine:.2f}."


def _picture(found: Found) -> Figure:
    """The nearest words as a table, the darker the nearer."""
    rows = [len(diagnosis.nearest_words) for diagnosis in found]
    figure = new_figure(WIDTH + 1.0, 0.6 * len(found) + 0.27 * sum(rows))
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axes, diagnosis in zip(panels, found, strict=True):
        columns = max(1, *(len(n.words) for n in diagnosis.nearest_words))
        cosines = np.full((len(diagnosis.nearest_words), columns), np.nan)
        for y, neighbours in enumerate(diagnosis.nearest_words):
            for x, (word, cosine) in enumerate(zip(neighbours.words, neighbours.cosines, strict=True)):
                cosines[y, x] = cosine
                axes.text(x, y, _shortened(word), ha="center", va="center", fontsize=8)
        # From white to a grey that black letters can be read on.
        image = axes.imshow(cosines, cmap="Greys", vmin=0.0, vmax=2.0, aspect="auto")
        axes.set_yticks(range(len(cosines)), [_shortened(n.word) for n in diagnosis.nearest_words])
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(
            image, ax=axes, boundaries=np.linspace(0, 1, 101), ticks=[0, 0.5, 1], shrink=0.8
        )
        bar.set_label("cosine")
        entitle(axes, diagnosis.name, len(found))
    return figure


def _shortened(word: str, most: int = 14) -> str:
    return word if len(word) <= most else f"{word[: most - 1]}…"


SECTION = Section("Words it takes to be alike", "nearest_words", _words, _picture)
