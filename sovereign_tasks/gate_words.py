"""Gates in plain words, for whoever knows no statistics: what each asks of a version, and how that went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sovereign_tasks.records import GateRow, failed

Verdict = Literal["passed", "passed over", "not needed", "refused", "too little evidence"]


class Conclusion(NamedTuple):
    """The verdict on a version: in one sentence, and why, in a few; `few` stands for too little evidence."""

    outcome: Literal["passed", "few", "refused"]
    title: str
    because: list[str]


class Metric(NamedTuple):
    """A metric's label, what it shows as a noun, what one says of a model that does better (if at all), its meaning."""

    label: str
    noun: str
    better: str
    meaning: str


_LOSS = "Measured by loss: how surprised the model is by each piece of the right answer; less is better."
_LOSSES = ("nll", "bits_per_byte")
METRICS = {
    "nll": Metric("Loss on the holdout", "knowledge of held-out answers", "knows held-out answers better", _LOSS),
    "bits_per_byte": Metric(
        "Bits per byte of the holdout",
        "knowledge of held-out answers, by the size of their text",
        "needs less to tell held-out answers",
        "Bits that the right answer's text takes the model, over its bytes; less is better.",
    ),
    "question_gain": Metric(
        "Gain from the question",
        "use of the question",
        "makes more use of the question",
        "How much likelier the right answer gets by its own question than by another one. A model that learned only "
        "the style gains nothing. More is better.",
    ),
    "token_f1": Metric(
        "Token F1 of answers",
        "the right words in answers",
        "has more of the right words",
        "How many words its own answers share with the right ones, from 0 to 1; more is better.",
    ),
    "rouge_l": Metric(
        "ROUGE-L of answers",
        "the right wording of answers",
        "has more of the right wording",
        "How many words its own answers share with the right ones in the same order, from 0 to 1; more is better.",
    ),
    "facts": Metric(
        "Exact facts in answers",
        "exact facts in answers",
        "states more exact facts",
        "Share of the right answer's numbers, prices and dates that its own answer states; more is better.",
    ),
    "refused": Metric(
        "Answers that decline",
        "answers that do not decline",
        "declines less often",
        "Share of its own answers that say they can't or won't answer; less is better.",
    ),
    "general_nll": Metric(
        "Loss on general text",
        "everyday knowledge",
        "knows everyday answers better",
        f"{_LOSS} The answers are to everyday questions.",
    ),
    "judge": Metric(
        "Verdicts of the judge",
        "the judge's liking for its answers",
        "gives the answers that the judge prefers",
        "A judging model read both answers in both orders: 1 for a pair that was won, -1 for one that was lost, 0 for "
        "a tie. The version's own figure is 0, and the other's is how much better its answers were found.",
    ),
    "exposure": Metric(
        "Canaries",
        "made-up secrets that it gives away (canaries)",
        "",
        "Every training also learns a few made-up secrets. Their exposure says how far up such a secret stands among "
        "1,024 like it, by how likely the model finds them: about 1.4 bits by chance, 10 where it comes first. What is "
        "held to the limit is the mean above the base's, which never read them; less is better.",
    ),
    "personal": Metric(
        "Personal data in answers",
        "personal data of its own in answers",
        "",
        "Answers with an address, number or key that neither the question nor the right answer has; less is better.",
    ),
}


def noun(row: GateRow) -> str:
    """What a gate is about, as a noun."""
    if row.metric.startswith("task_"):  # of the owner's
        return f"right answers in the task {row.metric.removeprefix('task_')}"
    return METRICS[row.metric].noun if row.metric in METRICS else row.gate.replace("_", " ")


def asked(row: GateRow) -> str:
    """What a gate asks."""
    if row.rule == "at_most":
        return f"must be at most {row.threshold:g}"
    if row.rule == "must":
        return "must hold"
    if row.rule == "no_worse":
        return f"must not be worse than the {row.against} by more than {-row.threshold:g}"
    return f"must be better than the {row.against}" + (f" by more than {row.threshold:g}" if row.threshold else "")


def verdict(row: GateRow, rows: Sequence[GateRow]) -> Verdict:
    """How one of a version's gates went.

    Passed over is one that held nothing up, though nothing was proven; not needed, one beside another that was enough.
    """
    if row.passed:
        return "passed" if _proven(row) else "passed over"
    if row not in failed(rows):
        return "not needed"
    return "too little evidence" if row.undecided else "refused"


def explain(row: GateRow) -> str:
    """How a gate went, in one or two sentences."""
    if row.rule == "must":
        return sentence(row.reason) or ("It does." if row.passed else "It does not.")
    if row.rule == "at_most":
        if math.isnan(row.candidate):
            return f"Not measured: {row.reason}." if row.reason else "Not measured."
        figures = f"{amount(row.candidate)} is {'within' if row.passed else 'over'} the limit of {row.threshold:g}."
        return f"{sentence(row.reason)} {figures}".strip()
    if not math.isfinite(row.low) or (row.passed and not _proven(row)):
        return sentence(row.reason)
    if row.passed and row.rule == "better":
        return f"{_size(row.difference)}. With luck allowed for, it is better by at least {amount(row.low)}."
    if row.passed:
        least = f"better by at least {amount(row.low)}" if row.low > 0 else f"at worst {amount(-row.low)} worse"
        return f"{_size(row.difference)}. With luck allowed for, it is {least}."
    if row.high < min(0.0, row.threshold):
        return f"{_size(row.difference)}, and luck does not explain that: at best it is {amount(-row.high)} worse."
    if _same(row):
        return f"No difference from the {row.against} in any group of these questions."
    span = f"it may be anything from {_side(row.low)} to {_side(row.high)}"
    if row.rule == "no_worse":
        return f"{_size(row.difference)} on these questions; with luck allowed for, {span}, which is not safe enough."
    if row.low > 0:
        return f"{_size(row.difference)}, but that may be as little as {amount(row.low)}, and more is asked."
    return f"{_size(row.difference)} on these questions, but that may be luck: {span}."


def conclude(version: str, rows: Sequence[GateRow], *, passed: bool, needed: int) -> Conclusion:
    """The verdict on a version for which `needed` groups were to be held out."""
    if not passed:
        return _refused(version, rows, needed)
    because = []
    proven = [row for row in rows if row.passed and _proven(row)]
    for better in dict.fromkeys(row.metric for row in proven if row.rule == "better"):
        whom = " and ".join(f"the {r.against}" for r in proven if r.rule == "better" and r.metric == better)
        does = METRICS[better].better if better in METRICS else f"does better in {better.replace('_', ' ')}"
        because.append(f"It {does} than {whom}, by more than luck explains.")
    kept = [noun(row) for row in proven if row.rule == "no_worse"]
    if kept:
        because.append(f"Kept within what is allowed: {', '.join(kept)}.")
    if limits := sum(row.rule in ("at_most", "must") for row in proven):
        because.append(f"It keeps {'the limit' if limits == 1 else f'all {limits} limits'} that it was given.")
    because += dict.fromkeys(f"Passed over: {row.reason}." for row in rows if row.passed and row not in proven)
    return Conclusion("passed", f"Version {version} passed: it did all that was asked of it.", because)


def _refused(version: str, rows: Sequence[GateRow], needed: int) -> Conclusion:
    if not rows:
        return Conclusion("refused", f"Version {version} is not promoted: nothing was asked of it.", [])
    outcome: Literal["few", "refused"] = "refused"
    standing = failed(rows)
    unasked = [row for row in standing if row.rule in ("at_most", "must") and math.isnan(row.candidate)]
    limits = [row for row in standing if row.rule in ("at_most", "must") and row not in unasked]
    worse = [row for row in standing if row.high < min(0.0, row.threshold)]
    unmeasured = [row for row in standing if math.isnan(row.low) and not row.undecided and row not in limits]
    few = [row for row in standing if row.undecided]
    if limits:
        why, first = "it breaks a limit that it must keep", limits
    elif worse:
        why, first = "it does worse", worse
    elif unmeasured:
        why, first = "not all could be measured", unmeasured
    elif few:
        groups = min(row.groups for row in few)
        of = f": {groups} of {needed} groups of held-out questions" if groups < needed else ""
        why, first, outcome = f"there is not enough evidence yet{of}", few, "few"
    elif twins := [row for row in standing if _is_twin(row, rows)]:
        why, first = f"it is no other than the {twins[0].against}", twins
    elif any(row.rule == "better" for row in standing):
        why, first = "it could not be shown to be better, and the difference may be luck", []
    else:
        why, first = "it could not be shown to have kept what it must keep", []
    told = [*first, *(row for row in standing if row not in first)]
    others = len(rows) - len(standing)
    together = dict.fromkeys(row.one_of for row in standing if row.one_of)
    because = [f"{capital(', '.join(about))}: {why}" for why, about in _by_reason(told).items()]
    because += [f"Of the gates marked “{word}” one would have been enough; none passed." for word in together]
    because += [f"Nothing else stands in its way: {others} of {len(rows)} gates."] if others else []
    return Conclusion(outcome, f"Version {version} is not promoted: {why}.", because)


def _same(row: GateRow) -> bool:
    """Whether not one group of questions told a version from what it is compared with."""
    return row.difference == row.low == row.high == 0


def _is_twin(row: GateRow, rows: Sequence[GateRow]) -> bool:
    """Whether a version does in all that was measured as the one that it was to be better than, also in a loss."""
    measured = [one for one in rows if one.against == row.against and math.isfinite(one.low)]
    return row.rule == "better" and all(map(_same, measured)) and any(one.metric in _LOSSES for one in measured)


def _proven(row: GateRow) -> bool:
    return row.low > row.threshold or row.rule in ("at_most", "must")


def _by_reason(rows: Sequence[GateRow]) -> dict[str, list[str]]:
    """What gates are about by how they went, since one reason often stands for many."""
    found: dict[str, list[str]] = {}
    for row in rows:
        about = noun(row) + (f" against the {row.against}" if row.against else "")
        found.setdefault(explain(row), []).append(about)
    return found


def sentence(text: str) -> str:
    """A reason as a sentence."""
    return f"{capital(text)}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def amount(value: float) -> str:
    """A size to three decimals, or to two digits where that would be 0.000; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return (f"{value:.3f}" if abs(value) >= 0.0005 or not value else f"{value:.1g}").replace("-", "\u2212")


def _size(difference: float) -> str:
    return f"{amount(abs(difference))} {'better' if difference > 0 else 'worse'}" if difference else "No difference"


def _side(value: float) -> str:
    return f"{amount(abs(value))} {'better' if value > 0 else 'worse'}"


def capital(text: str) -> str:
    """Text with a capital first letter and the rest as it is."""
    return text[:1].upper() + text[1:]
