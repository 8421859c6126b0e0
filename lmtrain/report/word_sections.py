"""The words of a report about words: which are hard, expected, costly, alike, and which forms agree.

A section says first what was measured, then what was found and what that means, model by model.
"""

from collections.abc import Sequence
from itertools import zip_longest

from lmtrain.report.markdown import code, number, per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.measure.predictions import CostlyWord

_WELL_CALIBRATED = 0.01
_UNMISLED = 0.02

Found = Sequence[Diagnosis]


def frequency_section(found: Found) -> list[str]:
    """Which words are hard."""
    rows = []
    for name in dict.fromkeys(band.name for diagnosis in found for band in diagnosis.bands):
        bands = [next((b for b in d.bands if b.name == name), None) for d in found]
        figures = [number(b.perplexity) if b else "–" for b in bands]
        totals = [diagnosis.costly_words.total_nats for diagnosis in found]
        shares = [percent(b.nats / t) if b and t else "–" for b, t in zip(bands, totals, strict=True)]
        tokens = next(band.num_tokens for band in bands if band)
        rows.append([code(name) if "<" in name else name, f"{tokens:,}", *figures, *shares])
    names = [diagnosis.name for diagnosis in found]
    return [
        "Words by how often the training text has them: rank 1 is its most frequent word. A model has "
        "seen rare "
        "words too seldom to expect them, so that few of them make up much of what a text costs.",
        *per_model(names, [_frequency_finding(diagnosis) for diagnosis in found]),
        *table(["rank", "tokens", *names, *(f"{name}: share of cost" for name in names)], rows),
    ]


def _frequency_finding(diagnosis: Diagnosis) -> str:
    words = [band for band in diagnosis.bands if not band.name.startswith("<")]
    if not words:
        return "The text has no word that the model knows."
    frequent, rare = words[0], words[-1]
    total = diagnosis.costly_words.total_nats
    tokens, cost = rare.num_tokens / diagnosis.num_tokens, rare.nats / total if total else 0.0
    return (
        f"Words of rank {frequent.name} have a perplexity of {number(frequent.perplexity)}, those of rank "
        f"{rare.name} one of {number(rare.perplexity)}: the latter are {percent(tokens)} of the tokens and "
        f"{percent(cost)} of the cost."
    )


def calibration_section(found: Found) -> list[str]:
    """Whether the model knows what it knows."""
    figures = [diagnosis.calibration for diagnosis in found]
    names = [diagnosis.name for diagnosis in found]
    rows = [
        [name, percent(c.confidence), percent(c.accuracy), percent(c.expected_error)]
        for name, c in zip(names, figures, strict=True)
    ]
    return [
        "Of the words that the model gives a probability of 30 % as its best guess, three in ten should "
        "come. The "
        "picture compares the two, for equally many predictions a mark, from the unsure to the sure: "
        "below the "
        "diagonal a model is too sure of itself. The expected calibration error is the mean distance "
        "from it.",
        *per_model(names, [_calibration_finding(diagnosis) for diagnosis in found]),
        *table(["model", "mean confidence", "accuracy", "expected calibration error"], rows),
    ]


def _calibration_finding(diagnosis: Diagnosis) -> str:
    found = diagnosis.calibration
    error = percent(found.expected_error)
    text = (
        f"Its best guess has a probability of {percent(found.confidence)} on average and is right in "
        f"{percent(found.accuracy)} of the cases. "
    )
    if found.expected_error < _WELL_CALIBRATED:
        return f"{text}With an error of {error} its probabilities can be taken at their word."
    excess = found.confidence - found.accuracy
    if abs(excess) < found.expected_error / 2:
        return f"{text}It is too sure in some places and not sure enough in others, with an error of {error}."
    lean = "too sure of itself" if excess > 0 else "less sure than it could be"
    return f"{text}It is {lean}, with an error of {error}."


def costly_section(found: Found) -> list[str]:
    """The words that cost most."""
    lines = [
        "Frequent words that are hard to foresee cost most in all; what costs most each time shows what "
        "the model "
        "does not know. Costs are in nats: a word that costs n nats had a probability of exp(-n).",
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


def agreement_section(found: Found) -> list[str]:
    """Whether verbs agree with their subjects."""
    left_out = [
        f"{diagnosis.name} is left out: the question is put in the words of toy-english, and its "
        "vocabulary lacks "
        f"{len(diagnosis.missing_words)} of them, such as {code(diagnosis.missing_words[0])}."
        for diagnosis in found
        if not diagnosis.agreement
    ]
    shown = [diagnosis for diagnosis in found if diagnosis.agreement]
    if not shown:
        return left_out
    rows = []
    for scores in zip(*(diagnosis.agreement for diagnosis in shown), strict=True):
        figures = ["{} ({} to {})".format(*map(percent, (s.accuracy, *s.interval))) for s in scores]
        first = scores[0]
        nearest = percent(first.nearest_right / first.num_verbs)
        rows.append([str(first.attractors), f"{first.num_verbs:,}", *figures, nearest])
    names = [diagnosis.name for diagnosis in shown]
    return [
        "In “the walruses near the teapot sing” the verb agrees with the walruses, and the teapot, an "
        "attractor, "
        "stands in the way. For verbs of new sentences of toy-english, whose grammar is known, the "
        "probability of "
        "the right form is compared with that of the other one (sing, sings). Guessing is right in half "
        "of them.",
        *per_model(names, [_agreement_finding(diagnosis) for diagnosis in shown]),
        *table(["attractors", "verbs", *names, "nearest noun"], rows),
        "In brackets, intervals of 95 %. “Nearest noun”: what agreeing with the last noun before the "
        "verb gets right.",
        *left_out,
    ]


def _agreement_finding(diagnosis: Diagnosis) -> str:
    first, last = diagnosis.agreement[0], diagnosis.agreement[-1]
    low, high = last.interval
    if low <= 0.5 <= high:
        meaning = "that is no better than guessing. Nouns in between make it lose the number of the subject."
    elif high < 0.5:
        meaning = "it follows the nouns that it has read last rather than the subject."
    elif first.accuracy - last.accuracy < _UNMISLED:
        meaning = "nouns in between do not mislead it. It keeps the number of the subject in its state."
    else:
        meaning = (
            "it keeps the number of the subject, but less surely the more nouns of the other number come."
        )
    return (
        f"Without attractors it takes the right form of {percent(first.accuracy)} of the verbs, with "
        f"{last.attractors} of {percent(last.accuracy)}: {meaning}"
    )


def neighbours_section(found: Found) -> list[str]:
    """The words the model takes to be alike."""
    lines = [
        "Each word is a vector to the model, and words that are used alike come to point the same way. "
        "The cosine "
        "of two vectors is 1 where they do, and about 0 where the words have nothing in common. "
        "Neighbours that "
        "make sense show that the embedding has learnt what goes with what.",
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
