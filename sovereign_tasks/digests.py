"""What is kept of a text to find its copies by: about 1 KB, however long it is.

A digest holds the keyed hash of all words; the band keys of a MinHash signature (rensa; 25 bands of 5 rows unless
another similarity is looked for), by which candidates are found; and a sketch, by which they are judged: the 256
least of the 32-bit hashes of its word 3-shingles. Below 256 shingles the sketch is the whole set and the Jaccard
similarity exact; above, the 256 least of two sketches' union are a random sample of both sets. The signature alone
would not do: its estimate finds a pair that lies at the threshold half of the time. A sample is therefore held against
the threshold less three of its standard errors (0.075 at 0.8), which misses 1 in 700 of the pairs at the threshold
itself and takes in 1 in 50,000 of those at 0.6.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import rensa

from sovereign_tasks.records import keyed_hash

BANDS, ROWS, SEED = 25, 5, 42
SKETCH = 256
SHORT = 8
"""Words below which texts are compared exactly and within their group only: "Thanks, that worked." is no copy."""
_ERRORS = 3.0
_WORD = re.compile(r"\w+")
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 1], np.uint64)
_HALF = np.uint64(32)


class Text(NamedTuple):
    """What a digest is made of; a reply (`parent`) has its opening post's title, which isn't its own."""

    group: str
    parent: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Digest:
    """The keyed hash of a text's words; band keys and sketch as bytes of uint32, both empty for short texts."""

    exact: str
    bands: bytes
    sketch: bytes


def exact_hash(text: Text) -> str:
    """The keyed hash of a text's words, of a short one within its group: what a digest calls `exact`."""
    return _exact(text, _words(text))


def digest(texts: Sequence[Text], *, bands: int = BANDS, rows: int = ROWS) -> list[Digest]:
    """Compute the digests of texts; pure, so batches may be done apart.

    Two texts of similarity J have a band in common with the probability 1 - (1 - J^rows)^bands.
    """
    words = [_words(t) for t in texts]
    shingles, starts = _shingles([w if len(w) >= SHORT else [] for w in words])
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles, starts, bands * rows, SEED)
    keys = _band_keys(np.asarray(matrix.to_rows(), np.uint64).reshape(len(texts), bands, rows))
    hashes = (shingles >> _HALF).astype(np.uint32)
    return [
        Digest(_exact(t, w), b"", b"")
        if len(w) < SHORT
        else Digest(
            _exact(t, w),
            keys[n].tobytes(),
            np.unique(hashes[starts[n] : starts[n + 1]])[:SKETCH].tobytes(),
        )
        for n, (t, w) in enumerate(zip(texts, words, strict=True))
    ]


def band_keys(digest: Digest) -> list[int]:
    """One key per band; equal keys of two digests are of the same band."""
    return np.frombuffer(digest.bands, np.uint32).tolist()


def keyed_bands(digest: Digest) -> list[str]:
    """The exact hash, then the band keys, all hashed under the installation's key: what a tombstone may hold."""
    return [keyed_hash("erased", digest.exact), *(keyed_hash("erased", str(key)) for key in band_keys(digest))]


def similarity(a: Digest, b: Digest) -> float:
    """The Jaccard similarity of two texts' word 3-shingles, exact or estimated; 1.0 for the same words throughout."""
    return compare(a, b, 1.0)[0]


def compare(a: Digest, b: Digest, threshold: float) -> tuple[float, float]:
    """The similarity of two texts, and the least that makes them copies: the threshold, less what a sample may err."""
    if a.exact == b.exact:
        return 1.0, threshold
    if not a.sketch or not b.sketch:
        return 0.0, threshold
    both = np.concatenate((np.frombuffer(a.sketch, np.uint32), np.frombuffer(b.sketch, np.uint32)))
    both.sort()
    first = np.concatenate(([True], both[1:] != both[:-1]))
    common = both[1:][~first[1:]]
    union = both[first]
    if max(len(a.sketch), len(b.sketch)) < 4 * SKETCH:
        return len(common) / len(union), threshold
    last = union[SKETCH - 1]
    unseen = 1.0 - float(last) / 2**32
    error = (threshold * (1 - threshold) / SKETCH * unseen) ** 0.5
    return float(np.searchsorted(common, last, "right")) / SKETCH, threshold - _ERRORS * error


def _words(text: Text) -> list[str]:
    return _WORD.findall(f"{'' if text.parent else text.title} {text.text}".casefold())


def _exact(text: Text, words: list[str]) -> str:
    return keyed_hash("exact", text.group if len(words) < SHORT else "", " ".join(words))


def _shingles(words: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """64-bit hashes of all texts' 3-shingles one after another, and where each text's begin (one more than texts)."""
    hashed = rensa.RMinHash.hash_token_sets(words)
    sizes = np.array([len(h) for h in hashed], np.int64)
    flat = np.fromiter((h for one in hashed for h in one), np.uint64, int(sizes.sum()))
    mixed = _mix(flat[:-2] * _ODD[0] + flat[1:-1] * _ODD[1] + flat[2:] * _ODD[2])
    ends = np.repeat(np.cumsum(sizes), sizes)[: len(mixed)]
    own = np.arange(len(mixed)) + 2 < ends  # not across two texts
    return mixed[own], np.concatenate(([0], np.cumsum(np.maximum(sizes - 2, 0)))).astype(np.uint64)


def _band_keys(signatures: np.ndarray) -> np.ndarray:
    """(texts, bands, rows) of uint64 to (texts, bands) of uint32."""
    keys = np.broadcast_to(np.arange(1, signatures.shape[1] + 1, dtype=np.uint64), signatures.shape[:2])
    for row in range(signatures.shape[2]):
        keys = _mix(keys * _ODD[0] + signatures[:, :, row])
    return (keys >> _HALF).astype(np.uint32)


def _mix(values: np.ndarray) -> np.ndarray:
    """A bijection after which every bit depends on all."""
    values = (values ^ (values >> _HALF)) * _ODD[3]
    return (values ^ (values >> _HALF)) * _ODD[3]
