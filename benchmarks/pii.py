"""Personal data: recall and precision per class of `curate.pii.find` and of a naive set of regular expressions.

    python benchmarks/pii.py [FILE]

FILE is JSON lines with `input` and `expected_entities` (type, start, end); by default ../shared/data/pii_cases.jsonl,
and where that is absent a few texts that this script writes. A labelled entity is found when a span of its class
overlaps it; a predicted span is right when it overlaps a label of its class; classes without labels are not counted.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sovereign_tasks.curate.pii import find

SHARED = Path(__file__).resolve().parents[2] / "shared/data/pii_cases.jsonl"
CLASSES = {
    "EMAIL": "EMAIL",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE": "PHONE",
    "PHONE_NUMBER": "PHONE",
    "SSN": "SSN",
    "US_SSN": "SSN",
    "CREDIT_CARD": "CARD",
    "IP_ADDRESS": "IP",
    "PERSON": "NAME",
    "ADDRESS": "ADDRESS",
    "STREET_ADDRESS": "ADDRESS",
    "DE_IBAN": "IBAN",
    "IBAN": "IBAN",
    "IBAN_CODE": "IBAN",
}
NAIVE = {
    "EMAIL": r"[\w.+-]+@[\w-]+\.[\w.]+",
    "PHONE": r"\b\d{3}[-.]?\d{3}[-.]?\d{4}\b",
    "SSN": r"\b\d{3}-\d{2}-\d{4}\b",
    "CARD": r"\b(?:\d{4}[- ]?){3}\d{4}\b",
    "IP": r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    "NAME": r"\b[A-Z][a-z]+ [A-Z][a-z]+\b",
    "ADDRESS": r"\d+ [A-Z]\w+ (?:Street|St|Avenue|Ave|Road|Rd|Drive|Lane)\b",
    "IBAN": r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b",
}
BUNDLED = [
    (
        "Call (555) 123-4567 or +44 20 7946 0958 about order 4155550198.",
        [("PHONE", "(555) 123-4567"), ("PHONE", "+44 20 7946 0958")],
    ),
    (
        "My name is Dana Whitfield, write to dana@mail.example.",
        [("PERSON", "Dana Whitfield"), ("EMAIL", "dana@mail.example")],
    ),
    (
        "Card 3782 822463 10005 and IBAN GB82 WEST 1234 5698 7654 32.",
        [("CREDIT_CARD", "3782 822463 10005"), ("IBAN", "GB82 WEST 1234 5698 7654 32")],
    ),
    (
        "SSN 123-45-6789; host 192.168.1.10; firmware 10.2.3.4.",
        [("SSN", "123-45-6789"), ("IP_ADDRESS", "192.168.1.10")],
    ),
    ("Ship to 1600 Alder Creek Parkway, not 24 x 36 Ridge Panels.", [("ADDRESS", "1600 Alder Creek Parkway")]),
    ("5125550188 is my cell, or try 512 5550188.", [("PHONE", "5125550188"), ("PHONE", "512 5550188")]),
    ("Use 4 Nails Per Row. Install 2 Starter Row. Run 2 Inch Drip Edge St. A 10 Foot Ladder Way.", []),
    ("24 Gauge Steel Panels Drive it up; so do 30 Year Architectural Shingles Drive.", []),
    ("Benjamin Obdyke underlayment, Henry Blueskin, Victor Torch kit, nails @edge and @eaves.", []),
    ("PIN: 1/2-inch; slope 6:12::8:12.", []),
    ("Standing Seam costs $19,200-36,000, SKU 312-555-0199-B, ISBN 978-3-16-148410-0.", []),
]
Labelled = tuple[str, list[tuple[str, int, int]]]
Tally = dict[str, Counter[str]]


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    cases = read(file) if file.exists() else bundled()
    ours, speed = tally(cases, lambda text: [(s.kind, s.start, s.end) for s in find(text)])
    peer, peer_speed = tally(cases, naive)
    print("class     labels   ours: found  right/predicted   naive: found  right/predicted")
    for kind in sorted(ours):
        a, b = ours[kind], peer[kind]
        print(
            f"{kind:9} {a['labels']:6} {a['found']:12}  {a['right']:6}/{a['predicted']:<6} {b['found']:14} "
            f"{b['right']:6}/{b['predicted']}"
        )
    recall, precision = overall(ours)
    peer_recall, peer_precision = overall(peer)
    f1, peer_f1 = harmonic(recall, precision), harmonic(peer_recall, peer_precision)
    print(
        json.dumps(
            {
                "claim": "personal data is found and look-alikes are left alone (micro F1 over classes)",
                "value": round(f1, 4),
                "unit": "F1",
                "peer": "naive regular expressions",
                "peer_value": round(peer_f1, 4),
                "ratio": round(f1 / max(peer_f1, 1e-9), 3),
                "recall": round(recall, 4),
                "precision": round(precision, 4),
                "peer_recall": round(peer_recall, 4),
                "peer_precision": round(peer_precision, 4),
                "classes": {kind: dict(ours[kind]) for kind in sorted(ours)},
                "kchars_per_second": round(speed),
                "peer_kchars_per_second": round(peer_speed),
                "texts": len(cases),
                "material": str(file) if file.exists() else "bundled",
            }
        )
    )


def read(file: Path) -> list[Labelled]:
    """Texts with the labels of the classes that both sides know."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [
        (
            row["input"],
            [(CLASSES[e["type"]], e["start"], e["end"]) for e in row["expected_entities"] if e["type"] in CLASSES],
        )
        for row in rows
    ]


def bundled() -> list[Labelled]:
    """The texts above with their offsets."""
    return [(t, [(CLASSES[k], t.index(v), t.index(v) + len(v)) for k, v in found]) for t, found in BUNDLED]


def naive(text: str) -> list[tuple[str, int, int]]:
    """Every match of every naive pattern."""
    return [(kind, *m.span()) for kind, pattern in NAIVE.items() for m in re.finditer(pattern, text)]


def tally(cases: list[Labelled], detect: Callable[[str], list[tuple[str, int, int]]]) -> tuple[Tally, float]:
    """Counts per class, and thousands of characters a second."""
    began = time.perf_counter()
    predictions = [detect(text) for text, _ in cases]
    seconds = time.perf_counter() - began
    kinds = {kind for _, labels in cases for kind, *_ in labels}
    counts: Tally = {kind: Counter(labels=0, found=0, right=0, predicted=0) for kind in kinds}
    for (_, labels), spans in zip(cases, predictions, strict=True):
        for label in labels:
            counts[label[0]].update(labels=1, found=any(_meet(label, span) for span in spans))
        for span in spans:
            if span[0] in counts:
                counts[span[0]].update(predicted=1, right=any(_meet(label, span) for label in labels))
    return counts, sum(len(text) for text, _ in cases) / 1000 / seconds


def overall(counts: Tally) -> tuple[float, float]:
    """Micro-averaged recall and precision."""
    total: Counter[str] = sum(counts.values(), Counter())
    return total["found"] / max(1, total["labels"]), total["right"] / max(1, total["predicted"])


def harmonic(recall: float, precision: float) -> float:
    """F1."""
    return 2 * recall * precision / max(1e-9, recall + precision)


def _meet(a: tuple[str, int, int], b: tuple[str, int, int]) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


if __name__ == "__main__":
    main()
