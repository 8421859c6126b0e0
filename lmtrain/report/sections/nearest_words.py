"""Words and their nearest ones: a table, which says more than a picture."""

from lmtrain.report.markdown import code, per_model, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section


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


SECTION = Section("Words it takes to be alike", "nearest_words", _words)
