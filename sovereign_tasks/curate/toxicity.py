"""How insulting or obscene a text is, by alt-profanity-check: a linear model over single words, offline.

score = the highest probability of the text's lines, longer ones in parts of 40 words, so that one insulting paragraph
is not averaged away in a long text. What the model can't do: it knows English alone, and the words rather than what
is meant by them (contempt in polite words passes, a quoted insult doesn't), and one coarse word decides a short text.
By itself it calls "a butt joint", "screw it down" and "the anus" obscene: words with a plain sense in trades, medicine
and the naming of people (`PLAIN`) are therefore left out of what it reads, and an insult of these alone passes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import islice

_WINDOW = 40
_BATCH = 4096  # windows in the model's hands at once
PLAIN = frozenset(
    "anal anus ballcock balls bastard black bleed blow blowing blows breast breasts bugger bull butt butted "
    "butting butts chink chinks cock cocks cow dead dirt dirty dog donkey dummy dump dyke dykes fat gay hoe "
    "hole holes homosexual jerk jerks kill killed killing kills knob knobs lay lesbian naked nipple nipples "
    "nuts penis pig pigs prick pricked queer rear rectal rot rotten screw screwed screwing screws sex sexual "
    "shaft shafts spade stopcock suck sucked sucking sucks swallow tit tits toilet trash vagina vaginal vent "
    "wang weed weeds wet white worm worms".split()
)
"""Words that say nothing of a text's manners."""
_MARKS = ".,;:!?()[]\"'*_"


def toxicity(texts: Sequence[str]) -> list[float]:
    """Score texts in [0, 1] by the module's formula; the first call loads the model (two seconds)."""
    scores = [0.0] * len(texts)
    windows = ((i, window) for i, text in enumerate(texts) for window in _windows(text))
    while batch := list(islice(windows, _BATCH)):
        owners = [i for i, _ in batch]
        for i, score in zip(owners, _model()([window for _, window in batch]), strict=True):
            scores[i] = max(scores[i], round(float(score), 4))
    return scores


def _windows(text: str) -> list[str]:
    """The words of each line without the plain ones, in near-equal parts."""
    windows = []
    for line in text.split("\n"):
        words = [word for word in line.split() if not _is_plain(word)]
        count = -(-len(words) // _WINDOW)
        windows += [" ".join(words[len(words) * k // count : len(words) * (k + 1) // count]) for k in range(count)]
    return windows


@functools.lru_cache(maxsize=1 << 16)
def _is_plain(word: str) -> bool:
    return word.strip(_MARKS).casefold() in PLAIN


@functools.cache
def _model() -> Callable[[Sequence[str]], Sequence[float]]:
    from profanity_check import predict_prob  # here, as it loads scikit-learn

    return predict_prob
