"""Near-duplicates with edits planted at known similarity: how many are found, how many wrongly, and how fast.

    make bench                                        # all benchmarks
    python benchmarks/near_duplicates.py              # this one, a few minutes
    python benchmarks/near_duplicates.py QA.jsonl     # lines with question and answer

Copies of corpus texts are planted by substituting, deleting and inserting words until the Jaccard similarity of word
3-shingles, computed exactly, falls into a bin; the seed is fixed. The corpus comes on a first night and the copies on
a second one, through the product's own path: digest, band database, decision. The peers get the same texts in the same
order: datasketch's MinHashLSH (128 permutations, threshold 0.8) asked and told text by text, and datatrove's four
MinHash steps (its defaults, on 3-grams) in one task with local folders. Rounds are interleaved and the best of each
counts.

The corpus has natural near-duplicates of its own. Every pair that the product reports is therefore looked up: it is
false where its true similarity is below 0.6; and what it kept is searched for pairs from 0.8 on that it should have
reported. A text that a peer drops is false where none of all the others is like it from 0.6 on. The last line is one
JSON object; `value` is the recall of planted copies from 0.8 on.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random

from sovereign_tasks.bands import Bands
from sovereign_tasks.curate.dedup import Entry, decide
from sovereign_tasks.digests import Text, digest

SHARED = Path(__file__).resolve().parents[2] / "shared/data/health_qa.jsonl"
BINS = [(0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.0)]
COPY, FALSE = 0.8, 0.6
PLANTED, MOST = 300, 8  # copies in a bin, and one in how many texts is copied at most
SHORTEST = 40  # words of a text that is copied
ROUNDS, BATCH = 3, 1000
_WORD = re.compile(r"\w+")

Texts = dict[str, str]
Shingles = dict[str, set[tuple[str, ...]]]
# What a deduplicator is given: both nights' texts and a folder; and what it tells: the ids it drops, each with the
# text it gave way to, or "".
Deduplicator = Callable[[Texts, Texts, Path], dict[str, str]]


def main() -> None:
    os.environ.setdefault("SOVEREIGN_KEY", "ab" * 32)
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    corpus = read(file) if file.exists() else bundled()
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-") as folder:
        natural = find_ours(corpus, {}, Path(folder))
    planted, bins = plant({i: text for i, text in corpus.items() if i not in natural})
    shingles = {i: shingle(text) for i, text in (corpus | planted).items()}
    found, speed, size = race(
        {"sovereign": find_ours, "datasketch": find_datasketch, "datatrove": find_datatrove}, corpus, planted
    )

    pairs = [similarity(shingles[i], shingles[twin]) for i, twin in found["sovereign"].items()]
    nearest = find_nearest(shingles)
    wrong = {name: sum(nearest[i] < FALSE for i in dropped) for name, dropped in found.items()}
    wrong["sovereign"] = sum(pair < FALSE for pair in pairs)
    kept = {i: s for i, s in shingles.items() if i in corpus and i not in found["sovereign"]}
    missed = sum(best >= COPY for best in find_nearest(kept).values()) // 2
    print("J           planted", *(f"{name:>12}" for name in found))
    recall: dict[str, dict[str, float]] = {name: {} for name in found}
    for low, high in BINS:
        inside = [i for i, true in bins.items() if low <= true < high]
        for name, dropped in found.items():
            recall[name][f"{low}-{high}"] = round(sum(i in dropped for i in inside) / len(inside), 4)
        print(f"{low}-{high:<4} {len(inside):10}", *(f"{recall[name][f'{low}-{high}']:12.3f}" for name in found))
    print("false             ", *(f"{wrong[name]:12}" for name in found))
    print("texts/s           ", *(f"{speed[name]:12,.0f}" for name in found))
    copies = [i for i, true in bins.items() if true >= COPY]
    value = {name: round(sum(i in dropped for i in copies) / len(copies), 4) for name, dropped in found.items()}
    print(
        json.dumps(
            {
                "benchmark": "near_duplicates",
                "claim": "near-duplicates from a similarity of 0.8 on are found, and nothing else is called one",
                "value": value["sovereign"],
                "unit": "recall",
                "peers": {name: value[name] for name in found if name != "sovereign"},
                "recall": recall,
                "false": wrong,
                "pairs_reported": len(pairs),
                "least_similarity_reported": round(min(pairs), 3),
                "natural_copies": len(natural),
                "natural_pairs_missed": missed,
                "texts_per_second": {name: round(s) for name, s in speed.items()},
                "speed_ratio": {n: round(speed["sovereign"] / s, 2) for n, s in speed.items() if n != "sovereign"},
                "bytes_per_text": size,
                "texts": len(shingles),
                "planted": len(planted),
                "material": str(file) if file.exists() else "bundled",
            }
        )
    )


def read(file: Path) -> Texts:
    """The corpus by id."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {f"a{n:06}": f"{row['question']} {row['answer']}" for n, row in enumerate(rows)}


def bundled() -> Texts:
    """Texts of made-up words, as frequent as words are, of 40 to 600 words."""
    rng = Random(1)  # noqa: S311
    words = ["".join(rng.choices("aeioubdfgklmnprst", k=rng.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (n + 3) for n in range(len(words))]
    return {f"a{n:06}": " ".join(rng.choices(words, weights, k=rng.randint(40, 600))) for n in range(1500)}


def plant(corpus: Texts) -> tuple[Texts, dict[str, float]]:
    """Edited copies, one a text at most, and the similarity of each to its original."""
    rng = Random(2)  # noqa: S311
    split = {i: words for i in sorted(corpus) if len(words := corpus[i].split()) >= SHORTEST}
    vocabulary = sorted({word for words in split.values() for word in words})
    chosen = rng.sample(sorted(split), min(PLANTED, len(split) // MOST) * len(BINS))
    planted: Texts = {}
    bins: dict[str, float] = {}
    for n, original in enumerate(chosen):
        low, high = BINS[n % len(BINS)]
        before = shingle(corpus[original])
        while True:
            text, true = edit(split[original], rng.uniform(low, high), before, vocabulary, rng)
            if low <= true < high:
                break
        planted[f"b{n:06}"], bins[f"b{n:06}"] = text, true
    return planted, bins


def edit(
    words: list[str], target: float, before: set[tuple[str, ...]], vocabulary: list[str], rng: Random
) -> tuple[str, float]:
    """A text edited word by word until it is less like the original than `target`, and how like it is then."""
    words, true = list(words), 1.0
    while true >= target:
        for _ in range(max(1, len(words) // 200)):
            at, kind = rng.randrange(len(words)), rng.randrange(3)
            words[at : at + (kind != 2)] = [rng.choice(vocabulary)] if kind else []
        true = similarity(before, shingle(" ".join(words)))
    return " ".join(words), true


def shingle(text: str) -> set[tuple[str, ...]]:
    """The word 3-shingles, of the words as the product takes them."""
    words = _WORD.findall(text.casefold())
    return set(zip(words, words[1:], words[2:], strict=False))


def similarity(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    """The true Jaccard similarity."""
    return len(a & b) / max(1, len(a | b))


def find_nearest(shingles: Shingles) -> dict[str, float]:
    """The similarity of every text to the one it is most like, over all pairs that have a shingle in common."""
    holders: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for i, own in shingles.items():
        for one in own:
            holders[one].append(i)
    nearest = {}
    for i, own in shingles.items():
        common = Counter(j for one in own for j in holders[one] if j != i)
        nearest[i] = max((n / (len(own) + len(shingles[j]) - n) for j, n in common.items()), default=0.0)
    return nearest


def race(
    competitors: dict[str, Deduplicator], corpus: Texts, planted: Texts
) -> tuple[dict[str, dict[str, str]], dict[str, float], int]:
    """What each finds, its best texts a second, and the bytes that the product's database takes a text."""
    found: dict[str, dict[str, str]] = {}
    best = dict.fromkeys(competitors, float("inf"))
    size = 0
    for _ in range(ROUNDS):
        for name, competitor in competitors.items():
            with tempfile.TemporaryDirectory(prefix="sovereign-bench-") as folder:
                began = time.perf_counter()
                found[name] = competitor(corpus, planted, Path(folder))
                best[name] = min(best[name], time.perf_counter() - began)
                if name == "sovereign":
                    kept = len(corpus) + len(planted) - len(found[name])
                    size = sum(f.stat().st_size for f in Path(folder).iterdir()) // kept
    texts = len(corpus) + len(planted)
    return found, {name: texts / seconds for name, seconds in best.items()}, size


def find_ours(corpus: Texts, planted: Texts, folder: Path) -> dict[str, str]:
    """Two nights through the product's own path, at its own bounds."""
    bands, found, builds = Bands(folder / "bands.db"), {}, []
    for build, night in (("1", corpus), ("2", planted)):
        entries = []
        ids = list(night)
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            digests = digest([Text("", "", "", night[i]) for i in some])
            entries += [Entry(i, "s", "", "", len(night[i]), False, own) for i, own in zip(some, digests, strict=True)]
        rules = {"model": "m", "builds": builds, "superseded": (), "threshold": COPY, "priorities": {}}
        copies = decide(entries, bands, **rules)
        kept = [e for e in entries if e.doc_id not in copies]
        bands.add(build, "m", [e.doc_id for e in kept], [e.digest for e in kept])
        found |= {i: copy.twin for i, copy in copies.items()}
        builds.append(build)
    return found


def find_datasketch(corpus: Texts, planted: Texts, folder: Path) -> dict[str, str]:
    """As its documentation does: a text that the index knows a like of is dropped."""
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=COPY, num_perm=128), {}
    for i, text in (corpus | planted).items():
        words = _WORD.findall(text.casefold())
        own = MinHash(num_perm=128)
        own.update_batch([" ".join(words[n : n + 3]).encode() for n in range(len(words) - 2)])
        if known := index.query(own):
            found[i] = known[0]
        else:
            index.insert(i, own)
    return found


def find_datatrove(corpus: Texts, planted: Texts, folder: Path) -> dict[str, str]:
    """Its four steps: signatures, buckets, clusters, filter."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig
    from loguru import logger

    logger.disable("datatrove")
    at = {name: str(folder / name) for name in ("signatures", "buckets", "clusters")}
    # xxhash, its default, no longer takes the strings that it is given
    config, left = MinhashConfig(n_grams=3, hash_config=HashConfig(hash_fc="sha1")), set()

    def documents(_: object, rank: int = 0, world_size: int = 1):
        return (Document(text=text, id=i) for i, text in (corpus | planted).items())

    def keep(data, rank: int = 0, world_size: int = 1):
        for document in data:
            left.add(document.id)
            yield document

    steps = [
        [documents, MinhashDedupSignature(at["signatures"], config=config)],
        [MinhashDedupBuckets(at["signatures"], at["buckets"], config=config)],
        [MinhashDedupCluster(at["buckets"], at["clusters"], config=config)],
        [documents, MinhashDedupFilter(at["clusters"]), keep],
    ]
    for n, step in enumerate(steps):
        tasks = config.num_buckets if n == 1 else 1  # one a bucket: it takes no other number
        LocalPipelineExecutor(step, tasks=tasks, workers=1, logging_dir=str(folder / f"logs{n}")).run()
    return dict.fromkeys((corpus | planted).keys() - left, "")


if __name__ == "__main__":
    main()
