"""Scores as a page that a person can read, and put on a slide."""

from html import escape
from typing import TYPE_CHECKING

from lmtrain.cli.score_formats import ScoreFormat
from lmtrain.corpus.text import EOS
from lmtrain.files.text_input import input_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmtrain.cli.signatures import Signatures
    from lmtrain.inference.score import Guess, ScoredLine

_DARKEST = 16.0
"""Bits from which on a word is shaded no darker: that of one word in 65,536."""
_STYLE = """
body { font: 17px/1.4 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #111 }
h1 { font-size: 1.2em; font-weight: 600 }
p.line { margin: 1.6em 0 .4em; line-height: 2.7 }
p.line span { display: inline-block; line-height: 1.3; margin: 0 .05em; padding: .1em .3em;
  border-radius: .2em; text-align: center }
p.line small { display: block; font-size: .62em; color: #444 }
.unk { text-decoration: underline dotted }
table { border-collapse: collapse; font-size: .85em; margin: .4em 0 1em }
th, td { padding: .1em .8em .1em 0; text-align: right }
th:nth-child(2), td:nth-child(2), th:nth-child(6), td:nth-child(6) { text-align: left }
th { border-bottom: 1px solid #999 }
footer { margin: 3em 0 1em; font: .75em/1.5 ui-monospace, monospace; color: #444; overflow-wrap: anywhere }
"""


class HtmlFormat(ScoreFormat):
    """A page: the words of each line, shaded by their surprisal, which stands below each and in a table."""

    takes_details = True

    def begin(self) -> str:
        """The head, and what the shades mean."""
        title = escape(f"Surprisal in bits: {input_name(self.name)}")
        scale = "".join(_word(f"{bits:.0f}", bits, "") for bits in (0.0, 4.0, 8.0, 12.0, _DARKEST))
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n"
            f'<p class="line">{scale} and above; <span class="unk">unknown words</span> are scored as '
            "&lt;unk&gt;, ↵ is the end of a line.</p>\n"
        )

    def _write(self, prefix: str, line: "ScoredLine") -> str:  # noqa: ARG002
        shown = ["↵" if token == EOS else token for token in line.tokens]
        costs = line.surprisal.tolist()
        words = [
            _word(token, bits, f"{bits:z.1f}", is_unk=unk)
            for token, bits, unk in zip(shown, costs, line.is_unk, strict=True)
        ]
        header, rows = (
            ["", "word", "bits"],
            [[token, f"{bits:z.3f}"] for token, bits in zip(shown, costs, strict=True)],
        )
        if line.details is not None:
            details, has_guesses = line.details, self.num_guesses > 0
            header += ["entropy", "rank", *["expected (bits)"] * has_guesses]
            found = zip(details.entropy.tolist(), details.rank.tolist(), details.guesses, strict=True)
            rows = [
                [*row, f"{entropy:z.3f}", f"{rank:,}", *[_listed(guesses)] * has_guesses]
                for row, (entropy, rank, guesses) in zip(rows, found, strict=True)
            ]
        lines = [_row("th", header), *(_row("td", [str(i), *row]) for i, row in enumerate(rows, 1))]
        table = "\n".join(lines)
        return (
            f'<p class="line">{" ".join(words)}</p>\n<details><summary>line {self.number}: '
            f"{sum(costs):z.2f} bits, {len(costs)} tokens</summary>\n<table>\n{table}\n</table></details>\n"
        )

    def end(self, signed: "Signatures") -> str:
        """A footer of what the figures depend on, and the end of the page."""
        told = "<br>\n".join(map(escape, signed.of_models.values()))
        text = f"{escape(signed.data)}, SHA-256 {signed.sha256}"
        return f"<footer>{told}<br>\n{text}</footer>\n</html>\n"


def _listed(guesses: "Sequence[Guess]") -> str:
    return ", ".join(f"{'↵' if guess.word == EOS else guess.word} {guess.bits:z.1f}" for guess in guesses)


def _word(text: str, bits: float, below: str, *, is_unk: bool = False) -> str:
    shade = max(0.0, min(bits / _DARKEST, 1.0)) * 0.75  # at full strength black letters were hard to read
    mark = ' class="unk"' if is_unk else ""
    small = f"<small>{below}</small>" if below else ""
    return f'<span{mark} style="background: rgba(213, 94, 0, {shade:.2f})">{escape(text)}{small}</span>'


def _row(kind: str, cells: list[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells) + "</tr>"
