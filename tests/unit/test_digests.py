"""A sketch gives the similarity of small texts exactly and that of large ones within what the rule allows for."""

from __future__ import annotations

import random

import pytest

from sovereign_tasks.digests import Digest, Text, compare, digest, keyed_bands, similarity


def words(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [f"w{rng.randrange(10**6)}" for _ in range(count)]


def true_similarity(a: list[str], b: list[str]) -> float:
    one, other = (set(zip(w, w[1:], w[2:], strict=False)) for w in (a, b))
    return len(one & other) / len(one | other)


def digests(*texts: list[str]) -> list[Digest]:
    return digest([Text("g", "", "", " ".join(text)) for text in texts])


@pytest.mark.parametrize("size", [20, 120, 250])
@pytest.mark.parametrize("edits", [1, 3, 9])
def test_small_texts_are_compared_exactly(size: int, edits: int) -> None:
    a = words(size, 1)
    b = list(a)
    for n, at in enumerate(random.Random(2).sample(range(size), edits)):
        b[at] = f"edit{n}"
    one, other = digests(a, b)
    assert compare(one, other, 0.8) == (pytest.approx(true_similarity(a, b)), 0.8)


def test_large_texts_at_the_threshold_are_found_and_those_well_below_are_not() -> None:
    found, wrong = 0, 0
    for seed in range(200):
        a = words(3000, seed)
        shared, fewer = 3000 * 8 // 9, 3000 * 3 // 4  # J of 0.8 and of 0.6
        like, unlike = (a[:part] + words(3000 - part, 1000 + seed) for part in (shared, fewer))
        own, *others = digests(a, like, unlike)
        (near, least), (far, same) = (compare(own, other, 0.8) for other in others)
        assert least == pytest.approx(0.8 - 3 * (0.16 / 256) ** 0.5, abs=0.006)
        found, wrong = found + (near >= least), wrong + (far >= same)
    assert found >= 198
    assert wrong == 0


def test_a_large_text_is_compared_with_a_small_part_of_it() -> None:
    a = words(2000, 3)
    assert similarity(*digests(a, a[:200])) == pytest.approx(0.1, abs=0.06)


def test_a_digest_takes_a_kilobyte_however_long_the_text() -> None:
    (own,) = digests(words(50_000, 4))
    assert len(own.sketch) + len(own.bands) + len(own.exact) < 1200


def test_the_batch_a_text_is_in_does_not_change_its_digest() -> None:
    texts = [words(n, n) for n in (0, 1, 2, 3, 8, 9, 300)]
    assert digests(*texts) == [own for text in texts for own in digests(text)]


def test_what_a_tombstone_holds_is_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    (own,) = digests(words(50, 5))
    before = keyed_bands(own)
    monkeypatch.setenv("SOVEREIGN_KEY", "cd" * 32)
    assert len(before) == 26
    assert not {*before} & {*keyed_bands(own)}
