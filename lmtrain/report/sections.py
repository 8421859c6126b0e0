"""The words of a report: each section says what was measured, what was found, and what that means."""

from collections.abc import Sequence
from itertools import zip_longest

from lmtrain.report.diagnose import Diagnosis
from lmtrain.report.gradient_reach import GradientReach
from lmtrain.report.markdown import code, number, percent, table

_WELL_CALIBRATED = 0.01
_EXPLODING = 10.0
_GROWING = 1.5

Found = Sequence[Diagnosis]


def gradient_section(found: Found) -> list[str]:
    """How far gradients reach."""
    rows = []
    for diagnosis in found:
        reach = diagnosis.gradient_reach
        shown = [k for k in (2, 5, 10, 20, 50, 100) if k <= reach.max_steps]
        rows.append([diagnosis.name, *(percent(reach.whole[k - 1]) for k in shown), _step(reach)])
    header = ["model", *(f"k = {k}" for k in shown), "below 1 % from"]
    return [
        "Training sends the error of each word back through the steps before it. The black line is the strength "
        "of that signal k steps back, all that the model carries from word to word taken together, where one "
        "step back is 1. Where it has fallen below 1 %, a word has next to no part in what the model learns "
        "from the error.",
        *_each(found, [_gradient_finding(diagnosis.gradient_reach) for diagnosis in found]),
        "This is the model as it is: trained with a longer window, it might have learnt to reach further.",
        *table(header, rows),
    ]


def _gradient_finding(reach: GradientReach) -> str:
    top = int(reach.whole.argmax()) + 1
    grows = f"On its way back the signal first grows, to {reach.peak:.3g} times at k = {top}. "
    if reach.peak >= _EXPLODING:
        grows = f"The gradient explodes: at k = {top} it is {reach.peak:.3g} times what it was. Clip it. "
    elif reach.peak < _GROWING:
        grows = ""
    if reach.reach is None:
        fades = f"It does not fall below 1 % within the {reach.max_steps} steps that were looked at. "
    else:
        fades = f"From k = {reach.reach} on less than 1 % of it is left: further back the gradient vanishes. "
    return grows + fades + _bptt_finding(reach)


def _bptt_finding(reach: GradientReach) -> str:
    length = reach.bptt_len
    match reach.verdict:
        case "too short":
            left = f"{percent(reach.whole[min(length or 1, reach.max_steps) - 1])} of the gradient is still there, and is cut off"
            wanted = f"{reach.reach}" if reach.reach else f"more than {reach.max_steps}"
            return f"`bptt_len` {length} is too short: at {length} steps {left}; {wanted} would keep all but 1 %."
        case "wasted":
            return (
                f"Much of `bptt_len` {length} is wasted: nothing comes back from so far. About "
                f"{2 * (reach.reach or 1)} would teach as much, with less memory and more updates an epoch."
            )
        case "about right":
            return f"`bptt_len` {length} is about right: it reaches as far as the gradient does."
        case "whole lines":
            return "It was trained on whole lines, where nothing is cut off."
        case _:
            return f"The text is too short to judge `bptt_len` {length}."


def _step(reach: GradientReach) -> str:
    return f"k = {reach.reach}" if reach.reach else f"beyond {reach.max_steps}"


def context_section(found: Found) -> list[str]:
    """How much context counts."""
    costs = [diagnosis.context_reach.costs for diagnosis in found]
    header = ["k", *(d.name for d in found), *(f"{d.name}: nats above all" for d in found)]
    rows = [
        [
            str(at_k[0].length or "all"),
            *(number(cost.perplexity) for cost in at_k),
            *(f"{cost.extra:.4f} ± {cost.standard_error:.4f}" if cost.length else "0" for cost in at_k),
        ]
        for at_k in zip(*costs, strict=True)
    ]
    return [
        f"The model predicts the same {found[0].context_reach.num_positions:,} words of the text again and again, "
        "each time from its initial state and after nothing but the last k words (line ends count as words). "
        "Once more context no longer lowers the perplexity, the model makes nothing of it.",
        *_each(found, [_context_finding(diagnosis) for diagnosis in found]),
        *table(header, rows),
        "± is a standard error, of the differences between the same words.",
    ]


def _context_finding(diagnosis: Diagnosis) -> str:
    reach = diagnosis.context_reach
    first, last = reach.costs[0], reach.whole
    text = (
        f"Knowing only the last word it has a perplexity of {number(first.perplexity)}, knowing all of "
        f"them {number(last.perplexity)}. "
    )
    if reach.reach is None:
        return text + f"Even {reach.costs[-2].length} words are not enough to come within 1 % of that."
    text += (
        f"{_words(reach.reach)} enough to come within 1 % of that: it makes little of what lies further back."
    )
    bptt_len = diagnosis.gradient_reach.bptt_len
    if bptt_len is not None and reach.reach > bptt_len:
        text += f" That is further than gradients were followed in training ({bptt_len}): its state carries it on."
    return text


def _words(count: int) -> str:
    return "The last word is" if count == 1 else f"The last {count} words are"


def frequency_section(found: Found) -> list[str]:
    """Which words are hard."""
    names = list(dict.fromkeys(band.name for diagnosis in found for band in diagnosis.bands))
    header = ["rank", "tokens", *(d.name for d in found), *(f"{d.name}: share of cost" for d in found)]
    rows = []
    for name in names:
        bands = [next((b for b in d.bands if b.name == name), None) for d in found]
        totals = [sum(b.nats for b in d.bands) for d in found]
        tokens = next(b.num_tokens for b in bands if b)
        shares = [
            percent(b.nats / total) if b and total else "–" for b, total in zip(bands, totals, strict=True)
        ]
        rows.append(
            [
                code(name) if "<" in name else name,
                f"{tokens:,}",
                *(number(b.perplexity) if b else "–" for b in bands),
                *shares,
            ]
        )
    return [
        "Words by how often the training text has them: rank 1 is its most frequent word. A model has seen "
        "rare words too seldom to expect them, so that few of them make up much of what a text costs.",
        *_each(found, [_frequency_finding(diagnosis) for diagnosis in found]),
        *table(header, rows),
    ]


def _frequency_finding(diagnosis: Diagnosis) -> str:
    words = [band for band in diagnosis.bands if not band.name.startswith("<")]
    if not words:
        return "The text has no word that the model knows."
    frequent, rare = words[0], words[-1]
    total = sum(band.nats for band in diagnosis.bands)
    return (
        f"Words of rank {frequent.name} have a perplexity of {number(frequent.perplexity)}, those of rank "
        f"{rare.name} one of {number(rare.perplexity)}: the latter are {percent(rare.num_tokens / diagnosis.num_tokens)} "
        f"of the tokens and {percent(rare.nats / total if total else 0.0)} of the cost."
    )


def calibration_section(found: Found) -> list[str]:
    """Whether the model knows what it knows."""
    rows = [
        [d.name, percent(c.confidence), percent(c.accuracy), percent(c.expected_error)]
        for d in found
        for c in [d.calibration]
    ]
    return [
        "Of all words that the model gives a probability of 30 % as its best guess, three in ten should come. "
        "The picture compares the two, for equally many predictions a mark, from the unsure to the sure: below "
        "the diagonal a model is too sure of itself. The expected calibration error is the mean distance from "
        "the diagonal.",
        *_each(found, [_calibration_finding(diagnosis) for diagnosis in found]),
        *table(["model", "mean confidence", "accuracy", "expected calibration error"], rows),
    ]


def _calibration_finding(diagnosis: Diagnosis) -> str:
    found = diagnosis.calibration
    text = (
        f"Its best guess has a probability of {percent(found.confidence)} on average and is right in "
        f"{percent(found.accuracy)} of the cases. "
    )
    if found.expected_error < _WELL_CALIBRATED:
        return f"{text}With an error of {percent(found.expected_error)} its probabilities can be taken at their word."
    excess = found.confidence - found.accuracy
    if abs(excess) < found.expected_error / 2:
        lean = "It is too sure in some places and not sure enough in others"
    else:
        lean = "It is too sure of itself" if excess > 0 else "It is less sure than it could be"
    return f"{text}{lean}, with an expected error of {percent(found.expected_error)}."


def words_section(found: Found) -> list[str]:
    """The words that cost most."""
    lines = [
        "Frequent words that are hard to foresee cost most in all; what costs most each time shows what the "
        "model does not know. Costs are in nats: a word that costs n nats had a probability of exp(-n).",
        *_each(found, [_words_finding(diagnosis) for diagnosis in found]),
    ]
    for diagnosis in found:
        costly = diagnosis.costly_words
        each_time = f"each time, from {costly.min_count} times on"
        rows = [
            [
                *([code(a.word), f"{a.count:,}", f"{a.nats:,.0f}"] if a else ["", "", ""]),
                *([code(b.word), f"{b.count:,}", f"{b.mean_nats:.2f}"] if b else ["", "", ""]),
            ]
            for a, b in zip_longest(costly.in_all, costly.each_time)
        ]
        if len(found) > 1:
            lines.append(f"**{diagnosis.name}**")
        lines += table(["most in all", "times", "nats", each_time, "times", "nats each"], rows)
    return lines


def _words_finding(diagnosis: Diagnosis) -> str:
    costly = diagnosis.costly_words
    top = costly.in_all[:10]
    share = sum(word.nats for word in top) / costly.total_nats if costly.total_nats else 0.0
    tokens = sum(word.count for word in top) / diagnosis.num_tokens
    text = f"The ten costliest words are {percent(tokens)} of the tokens and {percent(share)} of the cost."
    if costly.each_time:
        worst = costly.each_time[0]
        text += f" Each {code(worst.word)} costs {worst.mean_nats:.1f} nats, more than any other word."
    return text


def agreement_section(found: Found) -> list[str]:
    """Whether verbs agree with their subjects."""
    lacking = [diagnosis for diagnosis in found if not diagnosis.agreement]
    left_out = [
        f"{diagnosis.name} is left out here: the question is put in the words of toy-english, and its vocabulary "
        f"lacks {len(diagnosis.missing_words)} of them, such as {code(diagnosis.missing_words[0])}."
        for diagnosis in lacking
    ]
    shown = [diagnosis for diagnosis in found if diagnosis.agreement]
    if not shown:
        return left_out
    rows = [
        [
            str(scores[0].attractors),
            f"{scores[0].num_verbs:,}",
            *(
                f"{percent(s.accuracy)} ({percent(s.interval[0])} to {percent(s.interval[1])})"
                for s in scores
            ),
            percent(scores[0].nearest_right / scores[0].num_verbs),
        ]
        for scores in zip(*(diagnosis.agreement for diagnosis in shown), strict=True)
    ]
    return [
        "In “the walruses near the teapot sing” the verb agrees with the walruses, and the teapot, an attractor, "
        "stands in the way. For verbs of new sentences of toy-english, whose grammar is known, the probability of "
        "the right form is compared with that of the other one (sing, sings). Guessing is right in half of them.",
        *_each(shown, [_agreement_finding(diagnosis) for diagnosis in shown]),
        *table(["attractors", "verbs", *(d.name for d in shown), "nearest noun"], rows),
        "In brackets, intervals of 95 %. “Nearest noun” is what agreeing with the noun before the verb gets right.",
        *left_out,
    ]


def _agreement_finding(diagnosis: Diagnosis) -> str:
    first, last = diagnosis.agreement[0], diagnosis.agreement[-1]
    fall = first.accuracy - last.accuracy
    if fall < 0.02:
        meaning = "nouns in between do not mislead it: it keeps the number of the subject in its state."
    elif last.interval[1] > 0.5:
        meaning = "it keeps the number of the subject, but the more nouns of the other number come, the less surely."
    else:
        meaning = "it follows the nouns it has read last rather than the subject."
    return (
        f"Without attractors it takes the right form of {percent(first.accuracy)} of the verbs, with "
        f"{last.attractors} of {percent(last.accuracy)}: {meaning}"
    )


def neighbours_section(found: Found) -> list[str]:
    """The words the model takes to be alike."""
    lines = [
        "Each word is a vector to the model, and words that are used alike come to point the same way. The "
        "cosine of two vectors is 1 where they do, and about 0 where the words have nothing in common. "
        "Neighbours that make sense show that the embedding has learnt what goes with what.",
        *_each(found, [_neighbours_finding(diagnosis) for diagnosis in found]),
    ]
    for diagnosis in found:
        if len(found) > 1:
            lines.append(f"**{diagnosis.name}**")
        rows = [
            [code(n.word), ", ".join(f"{code(w)} {c:.2f}" for w, c in zip(n.words, n.cosines, strict=True))]
            for n in diagnosis.nearest_words
        ]
        lines += table(["word", "nearest words and their cosines"], rows)
    return lines


def _neighbours_finding(diagnosis: Diagnosis) -> str:
    pairs = [(n.cosines[0], n.word, n.words[0]) for n in diagnosis.nearest_words if n.words]
    if not pairs:
        return "There is no second word to compare with."
    cosine, word, other = max(pairs)
    return f"Of the words shown, {code(word)} and {code(other)} are nearest to each other, with a cosine of {cosine:.2f}."


def saturation_section(found: Found) -> list[str]:
    """What the gates do."""
    rows = [
        [
            d.name,
            g.name,
            percent(g.low),
            percent(g.high),
            f"{g.units_low} of {g.num_units}",
            f"{g.units_high} of {g.num_units}",
        ]
        for d in found
        for g in d.saturation
    ]
    header = ["model", "gate", "low", "high", "units always low", "units always high"]
    start = 0 if len(found) > 1 else 1
    return [
        "A gate is low (shut) below 0.1 and high (open) above 0.9; values between -1 and 1 are low below -0.9; a "
        "rectified unit is low at 0. Gates at their ends act as switches, and let no gradient through to what "
        "sets them; gates in between blend. “Always” is more than 90 % of the time.",
        *_each(found, [_saturation_finding(diagnosis) for diagnosis in found]),
        *table(header[start:], [row[start:] for row in rows]),
    ]


def _saturation_finding(diagnosis: Diagnosis) -> str:
    parts = []
    for gate in diagnosis.saturation:
        if gate.gate.startswith("forget"):
            parts.append(
                f"In layer {gate.layer} the forget gate is open {percent(gate.high)} of the time, and {gate.units_high} "
                f"of {gate.num_units} units are always open: these remember over many words."
            )
        elif gate.gate.startswith("update"):
            parts.append(
                f"In layer {gate.layer} the update gate keeps the old state {percent(gate.high)} of the time, and "
                f"{gate.units_high} of {gate.num_units} units always do: these remember over many words."
            )
        elif gate.gate == "unit" and gate.kind == "tanh":
            parts.append(
                f"In layer {gate.layer} units are at either end {percent(gate.low + gate.high)} of the time, where "
                "they pass little gradient on."
            )
        elif gate.gate == "unit":
            parts.append(
                f"In layer {gate.layer} units are off {percent(gate.low)} of the time, and {gate.units_low} of "
                f"{gate.num_units} always: these do nothing."
            )
    return " ".join(parts)


def _each(found: Found, findings: Sequence[str]) -> list[str]:
    """A paragraph a model, its name in front where there are several."""
    if len(found) == 1:
        return [findings[0]]
    return [f"**{d.name}**: {finding}" for d, finding in zip(found, findings, strict=True)]
