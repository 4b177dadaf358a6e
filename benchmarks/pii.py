"""Personal data: recall and precision per class, and characters a second, of `curate.pii.find` and of two peers.

    pip install -r benchmarks/requirements-peers.txt
    python benchmarks/pii.py [FILE]

The peers are a naive set of regular expressions, and Presidio with its own recognisers for English but no trained
model (a blank spaCy pipeline), at the score threshold that gives it its best micro F1 on this material. FILE is JSON
lines with `input` and `expected_entities` (type, start, end); by default ../shared/data/pii_cases.jsonl, and where
that is absent pii_cases.txt beside this script. A labelled entity is found when a span of its class overlaps it; a
predicted span is right when it overlaps a label of its class; classes without labels are not counted. Speed is the
best of several rounds over all texts, the three in turn. The last line is one JSON object; its value is the worst
precision of ours over the classes with a form of their own (all but names and street addresses).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine

from sovereign_tasks.curate.pii import find

BUNDLED = Path(__file__).with_name("pii_cases.txt")
"""One text a line, in which {CLASS|value} marks a label."""
SHARED = Path(__file__).resolve().parents[2] / "shared/data/pii_cases.jsonl"
CLASSES = {
    "EMAIL": ("EMAIL_ADDRESS",),
    "PHONE": ("PHONE_NUMBER",),
    "SSN": ("US_SSN", "US_ITIN"),
    "CARD": ("CREDIT_CARD",),
    "IP": ("IP_ADDRESS",),
    "MAC": ("MAC_ADDRESS",),
    "IBAN": ("DE_IBAN", "IBAN_CODE"),
    "ID": ("US_PASSPORT", "US_DRIVER_LICENSE", "US_BANK_NUMBER", "UK_NHS", "NATIONAL_ID"),
    "NAME": ("PERSON",),
    "ADDRESS": ("STREET_ADDRESS",),
    **dict.fromkeys(("COORDINATES", "BIRTHDATE", "VEHICLE", "SECRET", "USER"), ()),
}
OURS_OF = {label: kind for kind, labels in CLASSES.items() for label in (kind, *labels)}
LOOSE = ("NAME", "ADDRESS")
NAIVE = {
    "EMAIL": r"\b[\w.+-]+@[\w-]+\.[\w.]+",
    "PHONE": r"\b\d{3}[-.]?\d{3}[-.]?\d{4}\b",
    "SSN": r"\b\d{3}-\d{2}-\d{4}\b",
    "CARD": r"\b(?:\d{4}[- ]?){3}\d{4}\b",
    "IP": r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    "MAC": r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b",
    "NAME": r"\b[A-Z][a-z]+ [A-Z][a-z]+\b",
    "ADDRESS": r"\d+ [A-Z]\w+ (?:Street|St|Avenue|Ave|Road|Rd|Drive|Lane)\b",
    "IBAN": r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b",
}
THRESHOLDS = (0.0, 0.1, 0.3, 0.4, 0.5, 0.6, 0.85, 1.0)
ROUNDS = 3
PART = 900_000  # Presidio refuses a million characters
Label = tuple[str, int, int]
Case = tuple[str, list[Label]]
Tally = dict[str, Counter[str]]


class BlankEngine(SpacyNlpEngine):
    """Tokens alone, as no trained model is on the package index."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": spacy.blank("en")}

    def load(self) -> None:
        """Nothing to fetch."""

    def is_loaded(self) -> bool:
        """It is there from the start."""
        return True


def main() -> None:
    logging.disable(logging.WARNING)
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    cases = read(file) if file.exists() else bundled()
    analyzer = presidio()
    scored = [presidio_spans(analyzer, text, 0.0) for text, _ in cases]
    points = {t: tally(cases, [[s[:3] for s in spans if s[3] >= t] for spans in scored]) for t in THRESHOLDS}
    threshold = max(THRESHOLDS, key=lambda t: micro_f1(points[t]))
    ours = tally(cases, [ours_of(text) for text, _ in cases])
    plain = tally(cases, [naive(text) for text, _ in cases])
    speeds = race(
        [text for text, _ in cases],
        {"ours": ours_of, "naive": naive, "presidio": lambda text: presidio_spans(analyzer, text, threshold)},
    )
    counts = {"ours": ours, "naive": plain, "presidio": points[threshold]}
    print(f"{len(cases)} texts; Presidio at score threshold {threshold}")
    print(f"{'class':12}{'labels':>7}" + "".join(f"{name + ': recall':>17} precision" for name in counts))
    for kind in sorted(ours):
        row = "".join(f"{share(c[kind], 'found'):>17} {share(c[kind], 'right'):>9}" for c in counts.values())
        print(f"{kind:12}{ours[kind]['labels']:7}{row}")
    print("chars/s" + "".join(f"   {name} {speed:,.0f}" for name, speed in speeds.items()))
    precisions = {k: rate(c, "right") for k, c in ours.items() if k not in LOOSE and c["predicted"]}
    reach = {k: max((rate(p[k], "found") for p in (plain, *points.values()) if rate(p[k], "right") >= 0.9), default=0)
             for k in ours}  # fmt: skip
    print(
        json.dumps(
            {
                "claim": "personal data is found and look-alikes are left alone",
                "value": round(min(precisions.values(), default=0), 4),
                "unit": "worst precision over the classes with a form of their own",
                "peers": ["naive regular expressions", f"Presidio without a model, score threshold {threshold}"],
                "classes": {
                    kind: {"labels": ours[kind]["labels"]}
                    | {
                        n: {"recall": rate(c[kind], "found"), "precision": rate(c[kind], "right")}
                        for n, c in counts.items()
                    }
                    | {"peers_best_recall_at_precision_0.9": reach[kind]}
                    for kind in sorted(ours)
                },
                "recall_below_a_peer": sorted(k for k in ours if rate(ours[k], "found") < reach[k]),
                "micro_f1": {name: round(micro_f1(c), 4) for name, c in counts.items()},
                "chars_per_s": {name: round(speed) for name, speed in speeds.items()},
                "ratio_to_presidio_speed": round(speeds["ours"] / speeds["presidio"], 2),
                "texts": len(cases),
                "material": str(file) if file.exists() else "bundled",
            }
        )
    )


def read(file: Path) -> list[Case]:
    """Texts with the labels of the classes that are compared."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [
        (
            row["input"],
            [(OURS_OF[e["type"]], e["start"], e["end"]) for e in row["expected_entities"] if e["type"] in OURS_OF],
        )
        for row in rows
    ]


def bundled() -> list[Case]:
    """The bundled texts and their labels."""
    cases = []
    for marked in BUNDLED.read_text("utf-8").splitlines():
        text, labels, at = "", [], 0
        for found in re.finditer(r"\{([A-Z]+)\|([^}]+)\}", marked):
            text += marked[at : found.start()]
            labels.append((found[1], len(text), len(text) + len(found[2])))
            text, at = text + found[2], found.end()
        cases.append((text + marked[at:], labels))
    return cases


def ours_of(text: str) -> list[Label]:
    """Our spans."""
    return [(s.kind, s.start, s.end) for s in find(text)]


def naive(text: str) -> list[Label]:
    """Every match of every naive pattern."""
    return [(kind, *m.span()) for kind, pattern in NAIVE.items() for m in re.finditer(pattern, text)]


def presidio() -> AnalyzerEngine:
    """Presidio's recognisers for English, without the one that needs a trained model."""
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    return AnalyzerEngine(registry=registry, nlp_engine=BlankEngine(), supported_languages=["en"])


def presidio_spans(analyzer: AnalyzerEngine, text: str, threshold: float) -> list[tuple[str, int, int, float]]:
    """Presidio's spans with their scores; its other classes are left out."""
    return [
        (OURS_OF[found.entity_type], at + found.start, at + found.end, found.score)
        for at in range(0, len(text), PART)
        for found in analyzer.analyze(text[at : at + PART], language="en", score_threshold=threshold)
        if found.entity_type in OURS_OF
    ]


def tally(cases: list[Case], predictions: Iterable[list[Label]]) -> Tally:
    """Counts per class that has labels."""
    counts: Tally = {
        kind: Counter(labels=0, found=0, right=0, predicted=0) for kind in {k for _, ls in cases for k, *_ in ls}
    }
    for (_, labels), spans in zip(cases, predictions, strict=True):
        for label in labels:
            counts[label[0]].update(labels=1, found=any(meet(label, span) for span in spans))
        for span in spans:
            if span[0] in counts:
                counts[span[0]].update(predicted=1, right=any(meet(label, span) for label in labels))
    return counts


def race(texts: list[str], detectors: dict[str, Callable[[str], object]]) -> dict[str, float]:
    """Characters a second of each, best of several rounds in turn."""
    best = dict.fromkeys(detectors, float("inf"))
    for _ in range(ROUNDS):
        for name, detect in detectors.items():
            began = time.perf_counter()
            for text in texts:
                detect(text)
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: sum(map(len, texts)) / seconds for name, seconds in best.items()}


def rate(count: Counter[str], what: str) -> float:
    """Recall (`found`) or precision (`right`); precision is 1 where nothing is predicted."""
    of = count["labels"] if what == "found" else count["predicted"]
    return round(count[what] / of, 4) if of else 1.0


def share(count: Counter[str], what: str) -> str:
    """The same in counts."""
    return f"{count[what]}/{count['labels' if what == 'found' else 'predicted']}"


def micro_f1(counts: Tally) -> float:
    """F1 of micro-averaged recall and precision."""
    total: Counter[str] = sum(counts.values(), Counter())
    recall, precision = rate(total, "found"), rate(total, "right") if total["predicted"] else 0
    return 2 * recall * precision / max(1e-9, recall + precision)


def meet(a: Label, b: Label) -> bool:
    """Of one class and overlapping."""
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


if __name__ == "__main__":
    main()
