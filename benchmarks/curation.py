"""Clean and deduplicate a night: documents a second of this project's whole path and of datatrove's parts.

    python benchmarks/curation.py [CORPUS.jsonl [ROWS]]

CORPUS.jsonl holds rows with `answer` or `text`; by default ../shared/data/health_qa.jsonl, and where that is absent
the bundled domain's pages. ROWS (600) are made of it by seed: 62% rows as they are, a tenth of these with a mail
address, a telephone number or an IP address put in; 10% exact copies and 10% near copies (3% of words changed);
8% spam (one phrase over and over), 5% menus and tables of signs, 5% in other languages.

Ours: `curate` (extract, normalize, scrub personal data, language, quality as pages, relevance) and `dedup.decide` with
its index on disk; once more with toxicity, which datatrove has no step for. datatrove 0.10.1: GopherRepetitionFilter,
GopherQualityFilter, C4QualityFilter, FineWebQualityFilter (English by its own default: spaCy's blank tokenizer),
PIIFormatter and the four MinHash steps, called one after the other in this process. Its filters run twice over: with
their defaults, and with the bounds of our pages where both have a bound, so that both sides keep about as much and do
the same work; that one is compared, the other printed beside it. What it is spared: language (its model must be
downloaded), relevance and toxicity (it has neither), normalisation, reading and writing of documents between steps,
and the start of its executor. One process on one core, whose own seconds count, so that other work on the machine
changes little; rounds alternate and the best one of each side counts. A
verdict is whether a row is kept; rows in other languages are left out of the share of equal ones. The last line is
one JSON object whose value is the ratio of documents a second.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
os.environ.setdefault("SOVEREIGN_KEY", "ab" * 32)

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import xxhash
from datatrove.data import Document as Row
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.formatters import PIIFormatter
from loguru import logger

from sovereign_tasks.bands import Bands
from sovereign_tasks.config import ModelConfig
from sovereign_tasks.curate import curate
from sovereign_tasks.curate.dedup import Entry, decide
from sovereign_tasks.curate.extract import extract
from sovereign_tasks.curate.quality import LEAST, MOST, PROFILES
from sovereign_tasks.curate.repetition import AGAIN, TOP
from sovereign_tasks.demo import pages
from sovereign_tasks.digests import Text, digest
from sovereign_tasks.records import RawItem

SHARED = Path(__file__).resolve().parents[2] / "shared/data/health_qa.jsonl"
SEED, ROUNDS, NIGHT = 11, 3, datetime(2030, 1, 2, tzinfo=UTC)
PERSONAL = ("Write to dana.whitfield@mail.example.", "Call (512) 555-0188 before noon.", "The host is 81.2.69.142.")
SPAM = (
    "Best prices online, order now and save!",
    "Click here to win a free phone today.",
    "Cheap pills, no questions.",
)
FOREIGN = (
    "Das Dach ist seit dem letzten Winter undicht und muss bald repariert werden.",
    "La maladie touche surtout les enfants et dure en général plusieurs semaines.",
    "El médico pregunta por los síntomas y pide un análisis de sangre.",
    "Il paziente deve riposare e bere molta acqua per alcuni giorni.",
)
Rows = list[tuple[str, str]]
"""(what sort of row it is, text)."""


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    logger.remove()
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    texts = read(file) if file.exists() else [extract(page.body, "text/html").text for page in pages(1).values()]
    rows = mix(texts, int(sys.argv[2]) if len(sys.argv) > 2 else 600)
    config, all_steps = model(rows, "keep"), model(rows, "flag")
    sides = {
        "ours": lambda rows: clean(rows, config),
        "and toxicity": lambda rows: clean(rows, all_steps),
        "datatrove": lambda rows: filter_and_deduplicate(rows, with_our_bounds()),
        "its defaults": lambda rows: filter_and_deduplicate(rows, with_defaults()),
    }
    for path in sides.values():
        path(rows[:20])  # models, tokenizers and expressions are loaded and compiled
    best: dict[str, tuple[float, dict[int, str]]] = {}
    for _ in range(ROUNDS):
        for name, path in sides.items():
            best[name] = max(best.get(name, (0.0, {})), timed(path, rows), key=lambda found: found[0])
    speed = {name: found[0] for name, found in best.items()}
    kept = {name: sum(not reason for reason in found[1].values()) / len(rows) for name, found in best.items()}
    spoken = [i for i, (sort, _) in enumerate(rows) if sort != "other language"]
    equal = {
        name: sum((best["ours"][1][i] == "") == (found[i] == "") for i in spoken) / len(spoken)
        for name, (_, found) in best.items()
    }
    print(f"{'rows':16} number   kept by " + "  ".join(f"{name:>12}" for name in sides))
    for sort, number in Counter(sort for sort, _ in rows).items():
        of_sort = [i for i, (s, _) in enumerate(rows) if s == sort]
        print(
            f"{sort:16} {number:6}           "
            + "  ".join(f"{sum(not best[n][1][i] for i in of_sort):12}" for n in sides)
        )
    for name, (_, found) in best.items():
        print(f"{name}: {dict(Counter(reason for reason in found.values() if reason).most_common())}")
        print(f"  {speed[name]:.1f} documents a second, {kept[name]:.1%} kept, {equal[name]:.1%} of verdicts as ours")
    print(
        json.dumps(
            {
                "claim": "a night is cleaned and deduplicated faster than by datatrove's parts (ratio of documents/s)",
                "value": round(speed["ours"] / speed["datatrove"], 2),
                "unit": "times",
                "peer": "datatrove 0.10.1",
                "docs_per_second": round(speed["ours"], 1),
                "docs_per_second_with_toxicity": round(speed["and toxicity"], 1),
                "peer_docs_per_second": round(speed["datatrove"], 1),
                "ratio_to_its_defaults": round(speed["ours"] / speed["its defaults"], 2),
                "kept": {name: round(share, 4) for name, share in kept.items()},
                "equal_verdicts": round(equal["datatrove"], 4),
                "equal_verdicts_with_its_defaults": round(equal["its defaults"], 4),
                "rows": len(rows),
                "mean_chars": round(sum(len(text) for _, text in rows) / len(rows)),
                "material": str(file) if file.exists() else "bundled",
            }
        )
    )


def read(file: Path) -> list[str]:
    rows = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    return [row["answer"] if "answer" in row else row["text"] for row in rows]


def mix(texts: Sequence[str], number: int) -> Rows:
    """Real rows and what is to be dropped among them, shuffled; see the module's docstring for the shares."""
    rng = random.Random(SEED)  # noqa: S311
    real = rng.sample(texts, min(len(texts), int(number * 0.62)))
    share = len(real) / 0.62
    rows = [("as it is", text) for text in real]
    for i in range(0, len(rows), 10):
        rows[i] = ("personal data", f"{rows[i][1]}\n\n{rng.choice(PERSONAL)}")
    rows += [("exact copy", rng.choice(real)) for _ in range(int(share * 0.10))]
    rows += [("near copy", edited(rng.choice(real), rng)) for _ in range(int(share * 0.10))]
    rows += [("spam", f"{rng.choice(SPAM)} " * rng.randint(12, 60)) for _ in range(int(share * 0.08))]
    for _ in range(int(share * 0.05)):
        words = rng.choice(real).split()[:40]
        rows.append(
            ("menu or signs", " | ".join(words) if rng.random() < 0.5 else " ".join(f"{{{w}}} =>" for w in words))
        )
        rows.append(("other language", f"{rng.choice(FOREIGN)} " * 4))
    rng.shuffle(rows)
    return rows


def edited(text: str, rng: random.Random) -> str:
    """The text with 3% of its words (at least one) replaced."""
    words = text.split(" ")
    for i in rng.sample(range(len(words)), max(1, len(words) * 3 // 100)):
        words[i] = f"other{rng.randrange(1000)}"
    return " ".join(words)


def model(rows: Rows, toxic: str) -> ModelConfig:
    """A model whose keywords are the corpus's thirty commonest long words."""
    words = Counter(w for sort, text in rows if sort == "as it is" for w in set(text.lower().split()) if w.isalpha())
    keywords = [word for word, _ in words.most_common() if len(word) >= 7][:30]
    source = {"name": "web", "kind": "web", "start": ["https://a.example/"], "licence": "l", "consent": "c"}
    return ModelConfig.model_validate(
        {
            "model": "bench",
            "description": "d",
            "sources": [source],
            "domain": {"keywords": keywords},
            "curation": {"toxic": toxic},
        }
    )


def timed(path: Callable[[Rows], dict[int, str]], rows: Rows) -> tuple[float, dict[int, str]]:
    """Rows a second of the core, and by row the reason of its drop, or empty."""
    began = time.process_time()
    reasons = path(rows)
    return len(rows) / (time.process_time() - began), reasons


def clean(rows: Rows, config: ModelConfig) -> dict[int, str]:
    """This project's path."""
    items = [item(i, text) for i, (_, text) in enumerate(rows)]
    curated = curate(items, config, now=NIGHT)
    digests = digest([Text(d.group, d.parent, d.title, d.text) for d in curated.documents])
    entries = [
        Entry(d.doc_id, d.source, d.group, d.parent, len(d.text), False, own)
        for d, own in zip(curated.documents, digests, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        bands = Bands(Path(folder) / "bands.db")
        copies = decide(entries, bands, model="bench", builds=[], superseded=set(), threshold=0.8, priorities={})
        kept = [e for e in entries if e.doc_id not in copies]
        bands.add("b", "bench", [e.doc_id for e in kept], [e.digest for e in kept])
    reasons = {r.row_id: r.reason for r in curated.rejections} | {i: copy.reason for i, copy in copies.items()}
    return {i: reasons.get(raw.doc_id, "") for i, raw in enumerate(items)}


def item(number: int, text: str) -> RawItem:
    address = f"https://a.example/{number}"
    return RawItem(
        source="web",
        kind="page",
        address=address,
        item="",
        group=address,
        parent="",
        body=text.encode(),
        media_type="text/plain",
        headers="{}",
        title="",
        author="",
        score=None,
        created_at=None,
        fetched_at=NIGHT,
        licence="l",
        consent="c",
        digest="",
    )


def with_defaults() -> list[BaseFilter]:
    return [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter(), FineWebQualityFilter()]


def with_our_bounds() -> list[BaseFilter]:
    """datatrove's filters with the bounds of `quality` for pages; C4's number of sentences has none there."""
    column = PROFILES.index("page")
    least, most = ({name: row[column] for name, row in table.items()} for table in (LEAST, MOST))
    return [
        GopherRepetitionFilter(
            dup_line_frac=most["repeated_lines"],
            dup_para_frac=most["repeated_paragraphs"],
            dup_line_char_frac=most["repeated_line_chars"],
            dup_para_char_frac=most["repeated_paragraph_chars"],
            top_n_grams=tuple((n, most[f"top_{n}grams"]) for n in TOP),
            dup_n_grams=tuple((n, most[f"repeated_{n}grams"]) for n in AGAIN),
        ),
        GopherQualityFilter(
            min_doc_words=least["too_short"],
            max_doc_words=most["too_long"],
            min_avg_word_length=least["short_words"],
            max_avg_word_length=most["long_words"],
            max_symbol_word_ratio=most["symbols"],
            max_bullet_lines_ratio=most["bullets"],
            max_ellipsis_lines_ratio=most["ellipses"],
            max_non_alpha_words_ratio=least["alphabetic"],
        ),
        C4QualityFilter(min_num_sentences=1),
        FineWebQualityFilter(
            line_punct_thr=least["line_punctuation"],
            short_line_thr=most["short_lines"],
            char_duplicates_ratio=most["repeated_line_chars"],
            new_line_ratio=most["newlines"],
        ),
    ]


def filter_and_deduplicate(rows: Rows, filters: Sequence[BaseFilter]) -> dict[int, str]:
    """datatrove's parts."""
    reasons = dict.fromkeys(range(len(rows)), "")
    docs = [Row(text=text, id=str(i)) for i, (_, text) in enumerate(rows)]
    for step in filters:
        kept = list(step.run(iter(docs)))
        reasons |= {int(d.id): step.name for d in docs} | {int(d.id): "" for d in kept}
        docs = kept
    docs = list(PIIFormatter().run(iter(docs)))
    with tempfile.TemporaryDirectory() as folder:
        signatures, buckets, clusters = (f"{folder}/{name}" for name in ("signatures", "buckets", "clusters"))
        signature = MinhashDedupSignature(signatures)
        signature._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())  # it passes str; xxhash 4 refuses
        signature.run(iter(docs))
        for bucket in range(MinhashConfig().num_buckets):
            MinhashDedupBuckets(signatures, buckets).run(None, bucket, MinhashConfig().num_buckets)
        MinhashDedupCluster(buckets, clusters).run(None, 0, 1)
        kept = list(MinhashDedupFilter(clusters).run(iter(docs)))
    return reasons | {int(d.id): "MinHash" for d in docs} | {int(d.id): "" for d in kept}


if __name__ == "__main__":
    main()
