"""The card of a dataset folder: README.md with the front matter that Hugging Face reads; every figure is handed in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from sovereign_tasks.dataset.folder import File
from sovereign_tasks.records import Snapshot

# Of the ids that Hugging Face knows, those of data and texts; ours are compared without regard to case.
LICENCES = frozenset(
    """apache-2.0 mit cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 gfdl gpl-3.0 odc-by odbl pddl etalab-2.0
    unlicense wtfpl""".split()
)
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_FIGURE = re.compile(r"^\| `(\w+)` \| (\d+)/(\d+); (\d+)/(\d+) \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Card:
    """What a card tells. `origins` has source, licence, consent, documents, rows by split and the days of collection;
    `stages` has stage, rows in, rows out and reasons, over `nights`; `limits` are whole sentences."""

    description: str
    snapshot: Snapshot
    files: Mapping[str, Sequence[File]]
    splits: Mapping[str, str]
    """The names that splits have here, by those that they have in the snapshot."""
    withheld: Mapping[str, int]
    deleted: int
    languages: Mapping[str, int]
    kinds: Mapping[str, Mapping[str, int]]
    origins: Sequence[Mapping[str, Any]]
    nights: int
    stages: Sequence[tuple[str, int, int, Mapping[str, int]]]
    replaced: Mapping[str, int]
    limits: Sequence[str]

    @property
    def licences(self) -> list[str]:
        """The licences of all documents, sorted."""
        return sorted({name for origin in self.origins for name in origin["licence"].split("; ")})

    @property
    def rows(self) -> dict[str, int]:
        """Rows written, by the name that a split has here."""
        return {split: sum(file.rows for file in files) for split, files in self.files.items()}


def write_card(card: Card) -> str:
    """The text of README.md."""
    head = yaml.safe_dump(_front_matter(card), sort_keys=False, allow_unicode=True)
    sections = [
        ("What it is", _what(card)),
        ("Splits", _splits(card)),
        ("Sources", _sources(card)),
        ("How it was curated", _curation(card)),
        ("Known limits", "\n".join(f"- {limit}" for limit in card.limits)),
        ("Lineage", _lineage(card)),
    ]
    title = f"{card.snapshot.model}, snapshot {card.snapshot.number}"
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections)
    return f"---\n{head}---\n\n# {title}\n\n{body}\n"


def detector_limits(page: str) -> list[str]:
    """What a page on personal data says of its rules, in sentences: its figures and its list of what is missed."""
    figures = [f"{name} {found} of {there}" for name, found, there, _, _ in _FIGURE.findall(page)]
    missed = page.partition("## What is not caught\n")[2].partition("\n## ")[0]
    listed = [" ".join(item.split()) for item in re.split(r"^- ", missed, flags=re.MULTILINE)[1:]]
    found = f"Of the personal data in labelled texts the rules alone found, by class: {', '.join(figures)}."
    return [found, *(f"Not caught by the rules: {item}" for item in listed)]


def _front_matter(card: Card) -> dict[str, Any]:
    known = sorted({name.lower() if name.lower() in LICENCES else "other" for name in card.licences})
    others = sorted(name for name in card.licences if name.lower() not in LICENCES)
    total = sum(card.rows.values())
    return {
        "pretty_name": f"{card.snapshot.model} {card.snapshot.number}",
        "language": list(card.languages),
        "license": known[0] if len(known) == 1 else known,
        **({"license_name": re.sub(r"[^a-z0-9.]+", "-", "-".join(others).lower())} if others else {}),
        "task_categories": ["question-answering", "text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if total < limit), "n>10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in card.files],
            }
        ],
    }


def _what(card: Card) -> str:
    total = sum(card.rows.values())
    return (
        f"{card.description}. {_rows(total)}, each a question with an answer as chat messages (`messages`), with the "
        "documents that it rests on (`doc_ids`, keyed hashes) and their source, licence and basis of consent. "
        f"Languages: {_listed(card.languages)}.\n\n"
        + _table(["kind", *card.rows], [[kind, *_by_split(card, rows)] for kind, rows in card.kinds.items()])
    )


def _splits(card: Card) -> str:
    said = [_table(["split", "rows"], [[split, f"{rows:,}"] for split, rows in card.rows.items()])]
    said.append(
        "Whole pages and threads are held out, never single rows; a training row that comes near a held-out one is "
        "left out. " + " ".join(f"`{here}` is what the snapshot calls {there}." for there, here in card.splits.items())
    )
    for split, rows in card.withheld.items():
        said.append(
            f"{_rows(rows)} of the split {split} stay where they are: they decide on promotions, and say nothing any "
            "more once a model may have learned from them."
        )
    if card.deleted:
        said.append(f"{_rows(card.deleted)} of the snapshot are not here: they were deleted for good since.")
    return "\n\n".join(said)


def _sources(card: Card) -> str:
    names = ["source", "licence", "consent", *card.rows, "documents", "collected"]
    rows = [
        [
            *(origin[name] for name in ("source", "licence", "consent")),
            *_by_split(card, origin["rows"]),
            f"{origin['documents']:,}",
            " to ".join(dict.fromkeys(origin["collected"])),
        ]
        for origin in card.origins
    ]
    return _table(names, rows) + "\n\nA row that rests on documents under several terms counts under each."


def _curation(card: Card) -> str:
    rows = [
        [stage, f"{rows_in:,}", f"{rows_out:,}", _listed(dict(sorted(rejected.items(), key=lambda r: (-r[1], r[0]))))]
        for stage, rows_in, rows_out, rejected in card.stages
    ]
    replaced = f"replaced by placeholders, by class: {_listed(card.replaced)}" if card.replaced else "none was found"
    return (
        f"Over {card.nights:,} {'night' if card.nights == 1 else 'nights'}; what was judged again counts again.\n\n"
        + _table(["stage", "in", "out", "left out"], rows)
        + f"\n\nPersonal data in the documents that the rows rest on: {replaced}."
    )


def _lineage(card: Card) -> str:
    s = card.snapshot
    before = f"after snapshot {s.parent}" if s.parent else "the first"
    return (
        f"- snapshot {s.number} of {s.model}, {before}, published {s.created_at:%Y-%m-%d %H:%M} UTC\n"
        f"- content `{s.content_hash}`, over the sorted digests of its rows\n"
        f"- settings `{s.config_hash}`, code {s.code_version}"
    )


def _by_split(card: Card, rows: Mapping[str, int]) -> list[str]:
    named = {here: there for there, here in card.splits.items()}
    return [f"{rows.get(named[split], 0):,}" for split in card.rows]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")
