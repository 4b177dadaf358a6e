"""A flood of near-equal items is held whole; what is few, short, different or another source's goes on."""

from __future__ import annotations

import random

import pytest

from sovereign_tasks.curate.dedup import Fault
from sovereign_tasks.curate.flood import find_floods
from sovereign_tasks.records import Document
from tests.unit.curate.test_dedup import entries

WORDS = "roof shingle nail ridge valley slope gutter eave crew bid storm hail permit deck seam tile slate moss".split()


@pytest.fixture
def written(document):
    """Items that fill one form: all but a few of their words are the same."""

    def write(count: int, source: str = "forum", seed: int = 0) -> list[Document]:
        rng = random.Random(seed)
        form = [rng.choice(WORDS) for _ in range(60)]
        texts = []
        for n in range(count):
            words = list(form)
            for place in rng.sample(range(60), 2):
                words[place] = f"{rng.choice(WORDS)}{n}"
            texts.append(" ".join(words))
        return [document(f"{source}{seed}-{n}", text, source=source) for n, text in enumerate(texts)]

    return write


def test_a_flood_is_held_and_everything_else_goes_on(written, document) -> None:
    flood, few = written(30), written(10, seed=1)
    other = written(8, source="site")
    single = document("one", " ".join(random.Random(9).choices(WORDS, k=60)), source="forum")
    held = find_floods(entries([*flood, *few, *other, single]), {"forum": 20, "site": 20})
    assert held == {d.doc_id: Fault("flood", "30 > 20 near-equal") for d in flood}


def test_the_order_of_the_night_changes_nothing(written) -> None:
    night = entries([*written(30), *written(21, seed=1), *written(10, seed=2)])
    wanted = find_floods(night, {"forum": 20})
    assert len(wanted) == 51
    for seed in range(5):
        random.Random(seed).shuffle(night)
        assert find_floods(night, {"forum": 20}) == wanted


def test_two_sources_are_never_one_flood(written) -> None:
    assert find_floods(entries([*written(15), *written(15, source="site")]), {"forum": 20, "site": 20}) == {}


def test_short_replies_are_no_flood(document) -> None:
    thanks = [document(f"t{n}", "Thanks, that worked.", source="forum") for n in range(99)]
    assert find_floods(entries(thanks), {"forum": 20}) == {}


def test_what_was_kept_before_is_not_held_when_it_comes_anew(written) -> None:
    texts = written(30)
    night = entries(texts, {d.doc_id for d in texts[:10]})
    assert find_floods(night, {"forum": 20}) == {}
    held = find_floods(night, {"forum": 19})
    assert held == {d.doc_id: Fault("flood", "20 > 19 near-equal") for d in texts[10:]}


def test_copies_are_left_to_deduplication(document) -> None:
    text = " ".join(random.Random(3).choices(WORDS, k=60))
    copies = [document(f"c{n}", text, source="forum") for n in range(60)]
    assert find_floods(entries(copies), {"forum": 20}) == {}
