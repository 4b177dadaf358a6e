"""A flood of near-equal items is held whole; what is few, short, different or another source's goes on."""

from __future__ import annotations

import random

import pytest

from sovereign_tasks.curate.flood import hold_floods
from sovereign_tasks.records import Document

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
    kept, held = hold_floods([*flood, *few, *other, single], {"forum": 20, "site": 20})
    assert {r.row_id for r in held} == {d.doc_id for d in flood}
    assert {(r.reason, r.measured) for r in held} == {("flood", "30 > 20 near-equal")}
    assert kept == [*few, *other, single]


def test_two_sources_are_never_one_flood(written) -> None:
    assert hold_floods([*written(15), *written(15, source="site")], {"forum": 20, "site": 20})[1] == []


def test_short_replies_are_no_flood(document) -> None:
    thanks = [document(f"t{n}", "Thanks, that worked.", source="forum") for n in range(99)]
    assert hold_floods(thanks, {"forum": 20}) == (thanks, [])


def test_what_was_kept_before_is_not_held_when_it_comes_anew(written) -> None:
    texts = written(30)
    assert hold_floods(texts, {"forum": 20}, {d.doc_id for d in texts[:10]}) == (texts, [])
    kept, held = hold_floods(texts, {"forum": 19}, {d.doc_id for d in texts[:10]})
    assert kept == texts[:10]
    assert {r.measured for r in held} == {"20 > 19 near-equal"}


def test_copies_are_left_to_deduplication(document) -> None:
    text = " ".join(random.Random(3).choices(WORDS, k=60))
    copies = [document(f"c{n}", text, source="forum") for n in range(60)]
    assert hold_floods(copies, {"forum": 20}) == (copies, [])
