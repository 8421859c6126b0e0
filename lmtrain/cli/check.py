"""How ``lmtrain data check`` shows what it found, in 80 columns."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmtrain.cli.text import print_pairs, size, write_result

if TYPE_CHECKING:
    from lmtrain.corpus.checking.text_report import TextReport

_COLUMNS = 80


def print_report(report: "TextReport") -> None:
    """Prints figures, then faults, then suspicions."""
    print_pairs(list(_figures(report)))
    if report.faults:
        write_result(f"\nfaults: {report.num_faults:,}")
        for fault in report.faults:
            place = f"line {fault.line:,}" + (f", byte {fault.byte:,}" if fault.byte else "")
            _print_wrapped(f"{place}: {fault.message}")
        if report.num_faults > len(report.faults):
            write_result(f"  … and {report.num_faults - len(report.faults):,} more")
    if report.suspicions:
        write_result("\nlooks odd:")
        for odd in report.suspicions:
            _print_wrapped(f"{odd.count:,} ({odd.share:.2%}) {odd.message}: {', '.join(odd.examples)}")


def _figures(report: "TextReport") -> Iterator[tuple[str, object]]:
    from lmtrain.corpus.checking.suspicions import shown

    yield "size", size(report.num_bytes)
    yield "SHA-256", report.sha256
    yield "lines", f"{report.num_lines:,}, of which {report.num_empty_lines:,} empty"
    yield "words", f"{report.num_words:,}"
    yield "tokens", f"{report.num_tokens:,}, one <eos> a line included"
    yield "types", f"{report.num_types:,}, of which {report.num_singletons:,} occur once"
    yield "  lower-cased", f"{report.num_types_lowercase:,}"
    yield "literal <unk>", f"{report.num_unk:,} ({_share(report.num_unk, report.num_words)} of words)"
    line, num_words = report.longest_line
    yield "longest line", f"{num_words:,} words, line {line:,}"
    if report.unknown is not None:
        unknown = report.unknown
        yield "unknown", f"{unknown.num_oov:,} ({unknown.oov_rate:.2%} of tokens) to {unknown.vocabulary}"
        yield "  types", f"{unknown.num_types:,}"
        for word, count in unknown.most_frequent:
            yield "", f"{count:>8,}  {shown(word)}"
    if report.overlap is not None:
        shared = report.overlap
        yield "also in train", f"{shared.num_shared:,} of {shared.num_lines:,} lines with words"
        long_lines = f"{shared.num_shared_long:,} of {shared.num_long_lines:,}"
        yield "  long lines", f"{long_lines} of 5 words or more ({shared.share:.2%})"
        for line, path, other in shared.examples:
            yield "", f"line {line:,} is {path}:{other}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _print_wrapped(text: str) -> None:
    lines = textwrap.wrap(text, _COLUMNS - 4, break_long_words=False, break_on_hyphens=False)
    write_result("\n".join(f"  {'' if index == 0 else '  '}{line}" for index, line in enumerate(lines)))
