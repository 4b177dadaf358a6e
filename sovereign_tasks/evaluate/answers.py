"""What a model's own answer shares with the right one: words, facts and length; and whether it declines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from sovereign_tasks.evaluate.facts import fact_recall

_DECLINES = re.compile(
    r"\bI(?:'m| am) (?:not able|unable)\b|"
    r"\bI(?:'m| am) (?:sorry|afraid),? (?:but )?(?:that )?I(?:'m not| am not| can't| cannot| can not| "
    r"won't| will not| couldn't| could not| don't| do not| have no| haven't)\b|"
    r"\bI (?:can't|cannot|can not|won't|will not|couldn't|could not) "
    r"(?:really )?(?:help|answer|assist|provide|give|say|tell|discuss|offer|comment|advise)\b|"
    r"\bI (?:don't|do not) (?:really )?(?:know|have (?:any |enough |that |this |the )?(?:information|answer|data))\b|"
    r"\bas an AI\b|\bI must decline\b|\b(?:outside|beyond) (?:of )?(?:my|what I) (?:scope|expertise|can)\b",
    re.IGNORECASE,
)
"""The speaker's own unwillingness, which a roof that "can't be repaired" does not have."""


def score_answers(given: Sequence[str], wanted: Sequence[str]) -> dict[str, list[float | None]]:
    """The metrics of answers against the right ones, in order; None where a metric does not apply to a row."""
    pairs = list(zip(given, wanted, strict=True))
    spoken = [(words(answer), words(right)) for answer, right in pairs]
    return {
        "token_f1": [token_f1(*pair) for pair in spoken],
        "rouge_l": [rouge_l(*pair) for pair in spoken],
        "facts": [fact_recall(*pair) for pair in pairs],
        "length": [length(*pair) for pair in pairs],
        "refused": [float(declines(answer)) for answer in given],
    }


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text."""
    return re.findall(r"\w+(?:[.,]\d+)*", text.lower())


def token_f1(given: list[str], wanted: list[str]) -> float:
    """Harmonic mean of precision and recall over the words, as counts; 0 where either is empty."""
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted)) if shared else 0.0


def rouge_l(given: list[str], wanted: list[str]) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004)."""
    row = [0] * (len(wanted) + 1)
    for word in given:
        diagonal = 0
        for j, other in enumerate(wanted, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(given) + len(wanted)) if row[-1] else 0.0


def length(given: str, wanted: str) -> float | None:
    """Characters of an answer over those of the right one; None where that has none."""
    return len(given) / len(wanted) if wanted else None


def declines(answer: str) -> bool:
    """Whether an answer says, in English, that its speaker won't or can't answer."""
    return bool(_DECLINES.search(answer.replace("’", "'")))
