"""Main-text extraction against trafilatura itself and the plain way: F1 over word 4-grams, and pages a second.

    python benchmarks/extraction.py [FOLDER]

FOLDER holds one folder per page with `source.html` and `expected.html` (what a reader should see); by default
../shared/data/pages, and where that is absent a few pages that this script writes. All take the same bytes, page by
page in turn; a page counts with its best of three times. Precision and recall count 4-grams with their multiplicity,
averaged over pages. The marks of our Markdown's lists are no words. The last line is one JSON object.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import trafilatura
from bs4 import BeautifulSoup

from sovereign_tasks.curate.extract import decode, extract

SHARED = Path(__file__).resolve().parents[2] / "shared/data/pages"
ROUNDS = 3
Page = tuple[bytes, str]
CONTESTANTS: dict[str, Callable[[bytes], str]] = {
    "curate.extract": lambda page: re.sub(r"^ *\d+\. (?=\S)", "", extract(page, "text/html").text, flags=re.MULTILINE),
    "trafilatura": lambda page: trafilatura.extract(page, fast=True, include_comments=False) or "",
    "trafilatura_default": lambda page: trafilatura.extract(page, include_comments=False) or "",
    "get_text": lambda page: BeautifulSoup(decode(page), "lxml").get_text(" "),
}


def main() -> None:
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    pages = read(folder) if folder.is_dir() else bundled()
    rows = measure(pages)
    print(f"{len(pages)} pages           F1 / precision / recall   pages/s")
    for name, row in rows.items():
        print(f"{name:20} {row['f1']:.4f} / {row['precision']:.4f} / {row['recall']:.4f}   {row['pages_per_s']:.1f}")
    kept, headings = headings_kept(pages)
    print(f"headings of the expected text that are headings of ours: {kept} of {headings}")
    ours = rows.pop("curate.extract")
    best = max(rows, key=lambda name: rows[name]["f1"])
    print(
        json.dumps(
            {
                "claim": "main text is found as well as by trafilatura at its speed, with its structure (4-gram F1)",
                "value": ours["f1"],
                "unit": "F1",
                "peer": best,
                "peer_value": rows[best]["f1"],
                "ratio": round(ours["f1"] / rows[best]["f1"], 4),
                **ours,
                **{f"{name}_{key}": value for name, row in rows.items() for key, value in row.items()},
                "speed_ratio": round(ours["pages_per_s"] / rows["trafilatura"]["pages_per_s"], 3),
                "pages": len(pages),
                "headings_kept": [kept, headings],
                "material": str(folder) if folder.is_dir() else "bundled",
            }
        )
    )


def read(folder: Path) -> list[Page]:
    """(page, expected text as HTML) of every folder."""
    folders = sorted(p.parent for p in folder.glob("*/expected.html"))
    return [((p / "source.html").read_bytes(), (p / "expected.html").read_text("utf-8")) for p in folders]


def bundled() -> list[Page]:
    """Three pages with the usual chrome around known text."""
    made = []
    for topic, last in (("gutters", "hose"), ("valleys", "broom"), ("skylights", "cloth")):
        main = (
            f"<h1>How to clean {topic}</h1><p>Clean {topic} twice a year, in spring and late autumn, before the leaves "
            "rot and hold water against the fascia.</p><h2>What do I need?</h2><p>A ladder with a stand-off, gloves, a "
            f"bucket on a hook and a {last}. Two people are safer than one, and a dry day is safer than a wet one.</p>"
            "<h2>Steps</h2><ol><li>Set the ladder on firm ground and tie it off at the "
            "top.</li><li>Lift the leaves into "
            f"the bucket by hand.</li><li>Finish with the {last} and check that water runs off.</li></ol>"
        )
        chrome = "<nav>" + "".join(f"<a href='/{i}'>Section {i} of our shop</a>" for i in range(30)) + "</nav>"
        foot = "<footer>Imprint, privacy and terms. We use cookies. Subscribe to the newsletter today!</footer>"
        made.append((f"<html><body>{chrome}<main><article>{main}</article></main>{foot}</body></html>".encode(), main))
    return made


def measure(pages: list[Page]) -> dict[str, dict[str, float]]:
    """Mean F1, precision and recall over pages, and pages a second, of each contestant."""
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CONTESTANTS}
    seconds = dict.fromkeys(CONTESTANTS, 0.0)
    for page, gold in pages:
        wanted = _grams(_visible(gold))
        best: dict[str, float] = {}
        for turn in range(ROUNDS):
            for name, take in CONTESTANTS.items():
                began = time.perf_counter()
                text = take(page)
                best[name] = min(best.get(name, 1e9), time.perf_counter() - began)
                if turn == 0:
                    scores[name].append(_score(_grams(text), wanted))
        for name, took in best.items():
            seconds[name] += took
    rows = {}
    for name in CONTESTANTS:
        f1, precision, recall = (round(mean(column), 4) for column in zip(*scores[name], strict=True))
        speed = round(len(pages) / seconds[name], 1)
        rows[name] = {"f1": f1, "precision": precision, "recall": recall, "pages_per_s": speed}
    return rows


def headings_kept(pages: list[Page]) -> tuple[int, int]:
    """How many of the expected headings are headings of ours, and how many there are."""
    kept = total = 0
    for page, gold in pages:
        ours = extract(page, "text/html")
        have = {tuple(_words(line)) for line in ours.text.split("\n") if line.startswith("#")}
        wanted = [tuple(_words(h.get_text(" "))) for h in BeautifulSoup(gold, "lxml").find_all(re.compile("^h[2-6]$"))]
        kept += sum(words in have for words in wanted)
        total += len(wanted)
    return kept, total


def _visible(gold: str) -> str:
    return BeautifulSoup(gold, "lxml").get_text(" ")


def _words(text: str) -> list[str]:
    return re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|\w+", text.casefold())


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = _words(text)
    return Counter(zip(*(words[n:] for n in range(4)), strict=False)) or Counter([tuple(words)])


def _score(found: Counter[tuple[str, ...]], wanted: Counter[tuple[str, ...]]) -> tuple[float, float, float]:
    common = (found & wanted).total()
    precision, recall = common / max(1, found.total()), common / max(1, wanted.total())
    return 2 * precision * recall / max(1e-9, precision + recall), precision, recall


if __name__ == "__main__":
    main()
