"""Main-text extraction against the plain way: bag-of-words F1 of `curate.extract` and of BeautifulSoup's get_text.

    python benchmarks/extraction.py [FOLDER]

FOLDER holds one folder per page with `source.html` and `expected.html` (what a reader should see); by default
../shared/data/pages, and where that is absent a few pages that this script writes. Precision and recall count words
with their multiplicity, averaged over pages. The last line is one JSON object.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from bs4 import BeautifulSoup

from sovereign_tasks.curate.extract import decode, extract

SHARED = Path(__file__).resolve().parents[2] / "shared/data/pages"
Page = tuple[bytes, str]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    pages = read(folder) if folder.is_dir() else bundled()
    ours, ours_speed = measure(pages, lambda page: extract(page, "text/html").text)
    peer, peer_speed = measure(pages, lambda page: BeautifulSoup(decode(page), "lxml").get_text(" "))
    kept, headings = headings_kept(pages)
    print(f"{len(pages)} pages   F1 / precision / recall   pages/s")
    print(f"curate.extract  {ours[0]:.3f} / {ours[1]:.3f} / {ours[2]:.3f}   {ours_speed:.0f}")
    print(f"bs4 get_text    {peer[0]:.3f} / {peer[1]:.3f} / {peer[2]:.3f}   {peer_speed:.0f}")
    print(f"headings of the expected text that are headings of ours: {kept} of {headings}")
    print(
        json.dumps(
            {
                "claim": "main text keeps what a reader should see and drops the rest (bag-of-words F1)",
                "value": round(ours[0], 4),
                "unit": "F1",
                "peer": "beautifulsoup4 get_text",
                "peer_value": round(peer[0], 4),
                "ratio": round(ours[0] / peer[0], 3),
                "precision": round(ours[1], 4),
                "recall": round(ours[2], 4),
                "pages": len(pages),
                "pages_per_second": round(ours_speed, 1),
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


def measure(pages: list[Page], take: Callable[[bytes], str]) -> tuple[tuple[float, float, float], float]:
    """Mean F1, precision and recall over pages, and pages a second."""
    began = time.perf_counter()
    texts = [take(page) for page, _ in pages]
    seconds = time.perf_counter() - began
    rows = [_score(_words(text), _words(_visible(gold))) for text, (_, gold) in zip(texts, pages, strict=True)]
    f1, precision, recall = (mean(column) for column in zip(*rows, strict=True))
    return (f1, precision, recall), len(pages) / seconds


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


def _score(found: list[str], wanted: list[str]) -> tuple[float, float, float]:
    common = sum((Counter(found) & Counter(wanted)).values())
    precision, recall = common / max(1, len(found)), common / max(1, len(wanted))
    return 2 * precision * recall / max(1e-9, precision + recall), precision, recall


if __name__ == "__main__":
    main()
