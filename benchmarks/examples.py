"""Examples that documents give, by their kinds, and a sample of them to be read and judged.

    python benchmarks/examples.py [PAGES_DIR] [QA.jsonl] [--sample 200 --seed N]

The documents are the bundled domain's pages, threads and files of both days; PAGES_DIR, one folder a page with
`source.html` (by default ../shared/data/pages); and QA.jsonl, rows of topic, question and answer, each topic laid out
as a page in one of several forms (by default ../shared/data/health_qa.jsonl). All go through curation as a night's
items do. What is absent is left out. The sample is spread over kinds and corpora, and is judged by docs/examples.md.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from sovereign_tasks.config import ModelConfig, load_model
from sovereign_tasks.curate import curate
from sovereign_tasks.dataset.examples import derive
from sovereign_tasks.demo import documents, pages, threads
from sovereign_tasks.records import Document, Example, RawItem, Rejection

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
NOW = datetime(2026, 5, 2, tzinfo=UTC)
PAGE = '<title>{title}</title><div class="content"><h1>{title}</h1><article class="post">{body}</article></div>'
SHOWN = 1200  # characters of an answer


def main() -> None:
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("SOVEREIGN_KEY", "ab" * 32)
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="?", type=Path, default=SHARED / "pages")
    parser.add_argument("qa", nargs="?", type=Path, default=SHARED / "health_qa.jsonl")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found: dict[str, tuple[list[Example], list[Rejection]]] = {}
    figures = {}
    for name, texts in read_corpora(options.pages, options.qa).items():
        began = time.perf_counter()
        found[name] = derive(texts, load_model("roofing").dataset)
        seconds = time.perf_counter() - began
        figures[name] = report(name, texts, *found[name], seconds)
    for example, corpus in draw(found, options.sample, options.seed):
        print(f"\n=== {example.example_id[:8]} {example.kind} ({corpus})")
        print(f"Q: {example.question}\nA: {example.answer[:SHOWN]}")
    print(json.dumps({"claim": "examples that documents give, by kind", "unit": "examples", **figures}))


def report(
    name: str, texts: list[Document], examples: list[Example], rejected: list[Rejection], seconds: float
) -> dict:
    """Print what a corpus gives, and return it as figures."""
    kinds, reasons = Counter(e.kind for e in examples), Counter(r.reason for r in rejected)
    print(f"{name}: {len(texts)} documents, {len(examples)} examples in {seconds:.2f} s, {len(rejected)} rejected")
    print("  kinds:   " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print("  reasons: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
    return {"documents": len(texts), "examples": dict(kinds), "rejected": dict(reasons), "seconds": round(seconds, 2)}


def draw(found: dict[str, tuple[list[Example], list[Rejection]]], count: int, seed: int) -> list[tuple[Example, str]]:
    """A sample spread over kinds and corpora as evenly as they allow."""
    shelves: defaultdict[tuple[str, str], list[Example]] = defaultdict(list)
    for corpus, (examples, _) in found.items():
        for example in examples:
            shelves[example.kind, corpus].append(example)
    for shelf in shelves.values():
        random.Random(seed).shuffle(shelf)  # noqa: S311 - a sample by seed
    drawn: list[tuple[Example, str]] = []
    while len(drawn) < count and any(shelves.values()):
        for (_, corpus), shelf in sorted(shelves.items()):
            if shelf and len(drawn) < count:
                drawn.append((shelf.pop(), corpus))
    return sorted(drawn, key=lambda row: (row[0].kind, row[1], row[0].example_id))


def read_corpora(folder: Path, qa: Path) -> dict[str, list[Document]]:
    """The documents of each corpus that is there."""
    bundled = load_model("roofing")
    plain = bundled.model_copy(
        update={
            "domain": bundled.domain.model_copy(update={"keywords": [], "languages": ["en", "de", "fr"]}),
            "curation": bundled.curation.model_copy(update={"min_relevance": 0.0}),
        }
    )
    corpora = {"bundled": _curate(_bundled(), bundled)}
    if folder.is_dir():
        rows = ((path.parent.name, path.read_bytes()) for path in sorted(folder.glob("*/source.html")))
        corpora["pages"] = _curate((_item(name, body) for name, body in rows), plain)
    if qa.is_file():
        corpora["qa"] = _curate((_item(name, body.encode()) for name, body in lay_out(qa)), plain)
    return corpora


def _curate(items: Iterator[RawItem], config: ModelConfig) -> list[Document]:
    return list({d.doc_id: d for d in curate(list(items), config, now=NOW).documents}.values())


def _bundled() -> Iterator[RawItem]:
    for day in (1, 2):
        for path, page in pages(day).items():
            yield _item(path, page.body)
        for name, text in documents(day).items():
            media = {".html": "text/html", ".md": "text/markdown"}.get(Path(name).suffix, "text/plain")
            yield _item(name, text.encode(), media, source="house", kind="files")
        for thread in threads(day):
            post = {"source": "forum", "kind": "reddit", "group": thread.id}
            yield _item(thread.id, thread.body.encode(), "text/markdown", title=thread.title, author="asker", **post)
            for comment in thread.comments:
                reply = {
                    "item": comment.id,
                    "parent": comment.parent or thread.id,
                    "author": comment.author or "",
                    "score": comment.score,
                }
                yield _item(thread.id, comment.body.encode(), "text/markdown", **post, **reply)


def _item(address: str, body: bytes, media_type: str = "text/html", **fields: object) -> RawItem:
    values = {
        "source": "almanac", "kind": "web", "address": address, "item": "", "group": address, "parent": "",
        "body": body, "media_type": media_type, "headers": "{}", "title": "", "author": "", "score": None,
        "created_at": None, "fetched_at": NOW, "licence": "owner", "consent": "own-content", "digest": "",
    }  # fmt: skip
    return RawItem(**(values | fields))


def lay_out(qa: Path) -> Iterator[tuple[str, str]]:
    """(address, HTML page) of each topic: its answers in paragraphs and lists, in one of the forms in turn."""
    topics: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in qa.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["topic"]:
            topics[row["topic"]].append((" ".join(row["question"].replace(" ?", "?").split()), row["answer"]))
    forms = (_as_headings, _as_bold, _as_letters, _as_definitions, _as_article)
    for number, (topic, rows) in enumerate(sorted(topics.items())):
        lay = forms[number % len(forms)]
        body = "".join(
            f"<h2>Points to Remember</h2>{_html(answer)}"  # what these lists stand below where they come from
            if question.startswith("What to do for") and answer.startswith("- ")
            else lay(question, _html(answer), topic)
            for question, answer in rows
        )
        yield f"{number}-{topic}", PAGE.format(title=escape(topic), body=body)


def _as_headings(question: str, answer: str, topic: str) -> str:
    return f"<h2>{escape(question)}</h2>{answer}"


def _as_bold(question: str, answer: str, topic: str) -> str:
    return f"<p><strong>{escape(question)}</strong></p>{answer}"


def _as_letters(question: str, answer: str, topic: str) -> str:
    return f"<p>Q: {escape(question)}</p>{answer.replace('<p>', '<p>A: ', 1)}"


def _as_definitions(question: str, answer: str, topic: str) -> str:
    return f"<dl><dt>{escape(question)}</dt><dd>{answer}</dd></dl>"


def _as_article(question: str, answer: str, topic: str) -> str:
    """Below a heading without a question, "Treatments" or the like; others below the title alone."""
    asks = re.match(r"What (?:is|are) the (\w+)|What (causes)|How to (\w+)", question)
    named = next(filter(None, asks.groups())).capitalize() if asks else ""
    return f"<h2>{named}</h2>{answer}" if named else answer


def _html(answer: str) -> str:
    parts = []
    for paragraph in re.split(r"\n\s*\n", answer.strip()):
        lines = re.split(r"(?:^|\s)- (?=\S)", " ".join(paragraph.split()))
        parts += [f"<p>{escape(lines[0])}</p>"] if lines[0].strip() else []
        if items := "".join(f"<li>{escape(item)}</li>" for item in lines[1:]):
            parts.append(f"<ul>{items}</ul>")
    return "".join(parts)


if __name__ == "__main__":
    main()
