"""Relevance from keywords alone: ranking of a domain's documents by `curate.relevance` and by counting keywords.

    python benchmarks/relevance.py [QA.jsonl]

QA.jsonl holds rows of topic, question and answer, several to a topic; by default ../shared/data/health_qa.jsonl, and
where that is absent the bundled domain's own pages. A domain is a topic of ten rows or more, or all topics that share
a word of their names (of five letters or more, in eight topics or more). Its keywords are what an owner would write
down: the words of its name, and those that are most over-represented in a random half of its rows. The other half is
to rank above 500 random rows of the other topics, which is measured by the area under the ROC curve (AUC), averaged
over domains. Both sides see the same title (the question), text and keywords. The last line is one JSON object; its
value is of domains of several topics, the realistic case.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from sovereign_tasks.curate.relevance import relevance

SHARED = Path(__file__).resolve().parents[2] / "shared/data/health_qa.jsonl"
SEED = 7
LEAST_ROWS, LEAST_TOPICS, LEAST_LETTERS, OUTSIDE = 10, 8, 5, 500
COMMON = 0.15
"""Share of all rows from which a word is too common to be a keyword."""
WORD = re.compile(r"[a-z]{3,}")
Row = tuple[str, str, str]
Score = Callable[[str, str, Sequence[str]], float]


@dataclass(frozen=True)
class Domain:
    """A name, its keywords, and the rows to rank: those of the domain, and those of no topic of it."""

    name: str
    keywords: tuple[str, ...]
    inside: list[int]
    outside: list[int]


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    rows = read(file) if file.exists() else bundled()
    everywhere = {word: n / len(rows) for word, n in documents_with(rows).items()}  # share of rows
    sides: dict[str, Score] = {"curate.relevance": relevance, "keyword counting": count_keywords}
    figures: dict[str, dict[str, float]] = {}
    print(f"{'domain':28} rows  keywords   " + "   ".join(f"{name} AUC" for name in sides))
    for kind, domains in (("topics", topics(rows, everywhere)), ("shared words", clusters(rows, everywhere))):
        scores = {name: [auc(rows, domain, score) for domain in domains] for name, score in sides.items()}
        for domain, *pair in zip(domains, *scores.values(), strict=True) if kind == "shared words" else ():
            show(domain.name, len(domain.inside), len(domain.keywords), pair)
        figures[kind] = {name: mean(aucs) for name, aucs in scores.items()}
        keywords = mean(len(d.keywords) for d in domains)
        show(f"mean of {len(domains)} {kind}", mean(len(d.inside) for d in domains), keywords, figures[kind].values())
    ours, peer = figures["shared words"].values()
    began = time.perf_counter()
    for _, title, text in rows:
        relevance(title, text, domains[0].keywords)
    print(
        json.dumps(
            {
                "claim": "documents of a domain rank above others by its keywords alone (mean AUC over domains)",
                "value": round(ours, 4),
                "unit": "AUC",
                "peer": "counting occurrences of the keywords",
                "peer_value": round(peer, 4),
                "ratio": round(ours / peer, 3),
                "domains": len(domains),
                "topics_value": round(figures["topics"]["curate.relevance"], 4),
                "topics_peer_value": round(figures["topics"]["keyword counting"], 4),
                "docs_per_second": round(len(rows) / (time.perf_counter() - began)),
                "rows": len(rows),
                "material": str(file) if file.exists() else "bundled",
            }
        )
    )


def show(name: str, rows: float, keywords: float, aucs: Iterable[float]) -> None:
    print(f"{name:28} {rows:4.0f}  {keywords:8.1f}   " + "   ".join(f"{value:20.4f}" for value in aucs))


def read(file: Path) -> list[Row]:
    """(topic, title, text) of every row that names its topic."""
    rows = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    return [(row["topic"], row["question"], row["answer"]) for row in rows if row["topic"]]


def bundled() -> list[Row]:
    """The bundled site's pages; what they are of and what they tell of it is their topic."""
    from sovereign_tasks.curate.extract import extract
    from sovereign_tasks.demo import pages

    rows = []
    for path, page in pages(1).items():
        found = extract(page.body, "text/html")
        rows.append((" ".join(WORD.findall(path.removesuffix(".html"))), found.title, found.text))
    return rows


def topics(rows: list[Row], everywhere: dict[str, float]) -> list[Domain]:
    """Each topic with enough rows as a domain, with 6 words from its rows beside its name's."""
    counts = Counter(topic for topic, *_ in rows)
    return [domain(rows, everywhere, topic, {topic}, 6) for topic in sorted(counts) if counts[topic] >= LEAST_ROWS]


def clusters(rows: list[Row], everywhere: dict[str, float]) -> list[Domain]:
    """All topics that share a word as a domain, with 20 words from their rows beside it."""
    sharing = defaultdict(set)
    for topic, *_ in rows:
        for word in (w for w in WORD.findall(topic.lower()) if len(w) >= LEAST_LETTERS):
            sharing[word].add(topic)
    names = sorted(w for w, found in sharing.items() if len(found) >= LEAST_TOPICS)
    return [domain(rows, everywhere, name, sharing[name], 20) for name in names]


def domain(rows: list[Row], everywhere: dict[str, float], name: str, members: set[str], more: int) -> Domain:
    """Keywords from the name and from a random half of the members' rows; the other half is to be found."""
    own = [i for i, (topic, *_) in enumerate(rows) if topic in members]
    rng = random.Random(f"{SEED} {name}")  # noqa: S311
    rng.shuffle(own)
    seen, inside = own[: len(own) // 2], own[len(own) // 2 :]
    outside = [i for i, (topic, *_) in enumerate(rows) if topic not in members]
    outside = rng.sample(outside, min(OUTSIDE, len(outside)))
    keywords = list(dict.fromkeys(WORD.findall(name.lower())))
    near = documents_with([rows[i] for i in seen])
    # By how much more of the half's rows hold the word than of all: a word of one row alone is no habit.
    weight = {w: n / len(seen) - everywhere[w] for w, n in near.items() if n > 1 and everywhere[w] < COMMON}
    keywords += [w for w in sorted(weight, key=lambda w: (-weight[w], w)) if w not in keywords][:more]
    return Domain(name, tuple(keywords), inside, outside)


def documents_with(rows: Sequence[Row]) -> Counter[str]:
    """How many rows hold each word."""
    return Counter(word for _, title, text in rows for word in set(WORD.findall(f"{title} {text}".lower())))


def count_keywords(title: str, text: str, keywords: Sequence[str]) -> float:
    """Occurrences of the keywords as whole words."""
    pattern = rf"\b(?:{'|'.join(map(re.escape, keywords))})\b"
    return float(len(re.findall(pattern, f"{title}\n{text}", re.IGNORECASE)))


def auc(rows: list[Row], domain: Domain, score: Score) -> float:
    """The chance that a row inside scores higher than one outside, a tie counting half."""
    which = [*domain.inside, *domain.outside]
    scores = np.array([score(rows[i][1], rows[i][2], domain.keywords) for i in which])
    inside, outside = scores[: len(domain.inside)], np.sort(scores[len(domain.inside) :])
    below, up_to = (np.searchsorted(outside, inside, side=side) for side in ("left", "right"))
    return float(np.mean((below + up_to) / 2) / len(outside))


if __name__ == "__main__":
    main()
