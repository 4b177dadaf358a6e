"""What a card says of licences and of the detectors' limits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from sovereign_tasks.dataset.card import Card, detector_limits, write_card
from sovereign_tasks.dataset.folder import File
from sovereign_tasks.records import Snapshot

PAGE = Path(__file__).parents[3] / "docs" / "personal-data.md"


def card(*licences: str, rows: int = 3) -> str:
    """The card of rows under these licences."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return write_card(
        Card(
            description="Of boards",
            snapshot=Snapshot("siding", 2, 1, "b2", "c0ffee", {"train": rows}, "cfg", "0.3", at),
            files={"train": [File("data/train-00000-of-00001.parquet", rows, 10, "ab")]},
            splits={"train": "train"},
            withheld={"sealed": 1},
            deleted=0,
            languages={"en": rows},
            kinds={"faq": {"train": rows}},
            origins=[
                {"source": f"s{n}", "licence": name, "consent": "a|b", "documents": 1, "rows": {}, "collected": []}
                for n, name in enumerate(licences)
            ],
            nights=1,
            stages=[],
            replaced={},
            limits=[],
        )
    )


@pytest.mark.parametrize(
    ("licences", "written", "named"),
    [
        (["CC-BY-4.0"], "cc-by-4.0", None),
        (["owner"], "other", "owner"),
        (["CC-BY-4.0", "MIT"], ["cc-by-4.0", "mit"], None),
        (["CC-BY-4.0", "The guild's own", "owner"], ["cc-by-4.0", "other"], "the-guild-s-own-owner"),
    ],
)
def test_licences_are_mapped_where_they_are_known(licences: list[str], written: object, named: str | None) -> None:
    front = yaml.safe_load(card(*licences).split("---\n")[1])
    assert (front["license"], front.get("license_name")) == (written, named)


@pytest.mark.parametrize(("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (20_000_000, "n>10M")])
def test_the_size_is_a_category(rows: int, size: str) -> None:
    assert yaml.safe_load(card("owner", rows=rows).split("---\n")[1])["size_categories"] == [size]


def test_what_a_cell_holds_stays_in_it() -> None:
    assert "| s0 | owner | a\\|b |" in card("owner")


def test_limits_are_the_pages_figures_and_list() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found, *missed = detector_limits(page)
    assert found.startswith("Of the personal data in labelled texts the rules alone found, ")
    figures = page.partition("## Figures")[2].partition("\n## ")[0]
    assert found.count(" of ") == figures.count("\n| `")
    assert "EMAIL 33 of 33, " in found
    assert len(missed) == page.partition("## What is not caught")[2].partition("\n## ")[0].count("\n- ")
