"""A score of insults: what it finds, what it must spare, and that it loads nothing early."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sovereign_tasks.curate.toxicity import toxicity

from .test_text_rules import PROSE

TRADE = (
    "Use a ring-shank nail in every rafter.|Screw the panel down hard, with a butyl washer under each head.|"
    "Seal the crack with rubber mastic.|A butt joint at the ridge needs a cock bead.|"
    "The hip and valley meet at the ridge.|Replace the ball cock and the stopcock.|Fit a brass nipple to the thread.|"
    "Dress the lead with a bastard file.|The pump sucks air when the foot valve leaks.|Wet rot killed the rafter ends.|"
    "Blow the dirt out of the hole before the dummy plug goes in.|Strip the rubber, prick the seam and butt the sheets."
).split("|")
INSULTS = ("You are an idiot and your work is shit.", "Shut the fuck up.", "You dumb cunt.", "He is a fucking liar.")


def test_a_trades_own_words_are_no_insults() -> None:
    assert max(toxicity(TRADE)) < 0.5
    assert toxicity([" ".join(TRADE)])[0] < 0.5


@pytest.mark.parametrize("insult", INSULTS)
def test_one_insulting_paragraph_is_not_averaged_away(insult: str) -> None:
    alone, within, around = toxicity([insult, f"{PROSE * 30}\n\n{insult}\n\n{PROSE * 30}", PROSE * 60])
    assert min(alone, within) > 0.9
    assert around < 0.5


def test_scores_stand_in_the_order_of_texts_and_in_bounds() -> None:
    texts = [PROSE, INSULTS[0], "", "nail", INSULTS[1]]
    scores = toxicity(texts)
    assert [score > 0.8 for score in scores] == [False, True, False, False, True]
    assert all(0 <= score <= 1 for score in scores)
    assert toxicity([]) == []
    assert scores == [score for text in texts for score in toxicity([text])]


def test_the_model_loads_at_the_first_score_alone() -> None:
    check = "import sys; from sovereign_tasks.curate import toxicity; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
