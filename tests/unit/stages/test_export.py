"""A snapshot written as a dataset folder: the same rows, a card whose figures are the ledger's, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from sovereign_tasks.dataset import folder as folders
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example
from sovereign_tasks.stages import erasure
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.export import export
from sovereign_tasks.stages.people import read_request
from sovereign_tasks.stages.snapshots import load_splits

from . import nights
from .test_labels import TAXONOMY
from .test_rules import change_config


@pytest.fixture
def context(documents: Path, tmp_path: Path) -> Context:
    """Two nights of enough documents for rows in every split."""
    for number, topic in enumerate("oak maple larch birch poplar slate tin zinc copper clay".split()):
        (documents / f"{topic}.md").write_text(nights.page(topic, 40 + number) + "\nAsk ann@house.example for more.\n")
    path = tmp_path / "config" / "siding.yaml"
    path.write_text(path.read_text().replace("sealed_share: 0,", "sealed_share: 0.2,"))
    assert nights.run_night("one")
    nights.write_second_day(documents)
    assert nights.run_night("two")
    return open_context("siding", "")


def read_back(folder: Path) -> dict[str, list[dict]]:
    """The folder as others read it."""
    import datasets

    datasets.disable_progress_bars()
    return {split: list(rows) for split, rows in datasets.load_dataset(str(folder)).items()}


def cells(card: str, first: str) -> list[str]:
    """The cells of the card's first table row that begins with this one."""
    row = next(line for line in card.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_folder_has_the_snapshots_rows_and_the_card_its_figures(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PART_ROWS", 10)
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    ledger, folder = context.ledger, tmp_path / "out" / "siding"
    snapshot = ledger.snapshots("siding")[-1]
    splits = load_splits(context, snapshot)
    done = export(context, None, folder, sealed=False)
    assert done.withheld == {"sealed": len(splits["sealed"])}
    assert done.rows == {"train": len(splits["train"]), "test": len(splits["holdout"])}
    assert min(*done.rows.values(), done.withheld["sealed"]) > 0

    found = read_back(folder)
    assert found.keys() == {"train", "test"}
    for here, there in (("train", "train"), ("test", "holdout")):
        rows = {row["example_id"]: row for row in found[here]}
        assert len(rows) == len(found[here])
        for example in splits[there]:
            row = rows.pop(example.example_id)
            assert (row["messages"], row["doc_ids"]) == (example.messages, example.doc_ids)
            assert (row["licence"], row["consent"], row["source"]) == ("owner", "own-content", "house")
        assert rows == {}
    parts = sorted(p.name for p in (folder / "data").glob("train-*"))
    assert len(parts) == -(-len(splits["train"]) // 10) > 1
    assert parts[-1] == f"train-{len(parts) - 1:05}-of-{len(parts):05}.parquet"

    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["language"] == ["en"]
    assert (front["license"], front["license_name"], front["size_categories"]) == ("other", "owner", ["n<1K"])
    assert cells(card, "train") == ["train", str(len(splits["train"]))]
    assert cells(card, "house")[3:5] == [str(len(splits["train"])), str(len(splits["holdout"]))]
    kinds = Counter(e.kind for e in splits["train"])
    assert all(cells(card, kind)[1] == str(count) for kind, count in kinds.items())
    reports = [r for build_id in ledger.builds("siding") for r in ledger.reports("siding", build_id)]
    for stage in ("collect", "curate", "deduplicate", "examples", "validate"):
        own = [r for r in reports if r.stage.partition(":")[0] == stage]
        rejected = sum((Counter(r.rejected) for r in own), Counter())
        _, rows_in, rows_out, left_out = cells(card, stage)
        assert (int(rows_in), int(rows_out)) == (sum(r.rows_in for r in own), sum(r.rows_out for r in own))
        assert {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", left_out)} == rejected
    pages = {doc_id for split in ("train", "holdout") for e in splits[split] for doc_id in e.doc_ids}
    newest = {row["doc_id"]: row["pii"] for row in context.store.read("documents", ledger.builds("siding")).to_pylist()}
    mails = sum(json.loads(newest[doc_id]).get("EMAIL", 0) for doc_id in pages)
    assert f"by class: {mails} EMAIL." in card
    assert snapshot.content_hash in card

    croissant = json.loads((folder / "croissant.json").read_text())
    for name in ("@context", "@type", "conformsTo", "description", "license", "name", "url", "creator"):
        assert croissant[name]
    assert croissant["datePublished"] == snapshot.created_at.isoformat()
    files = {f["contentUrl"]: f for f in croissant["distribution"] if f["@type"] == "cr:FileObject"}
    assert sorted(files) == sorted(str(p.relative_to(folder)) for p in (folder / "data").iterdir())
    for path, told in files.items():
        data = (folder / path).read_bytes()
        assert (told["sha256"], told["contentSize"]) == (hashlib.sha256(data).hexdigest(), f"{len(data)} B")
    columns = {f["name"] for split in croissant["recordSet"] for f in split["field"]}
    assert columns == set(pq.read_schema(folder / "data" / parts[0]).names)

    assert [(e.folder, e.snapshot) for e in ledger.exports("siding")] == [(str(folder), snapshot.number)]
    with pytest.raises(UserError, match="is there already"):
        export(context, 1, folder, sealed=False)
    with pytest.raises(UserError, match="no snapshot 7"):
        export(context, 7, tmp_path / "seventh", sealed=False)
    whole = export(context, 1, tmp_path / "first", sealed=True)
    assert (whole.rows, whole.withheld) == (
        {{"holdout": "test"}.get(s, s): n for s, n in ledger.snapshot("siding", 1).counts.items()},
        {},
    )
    assert [e.snapshot for e in ledger.exports("siding")] == [2, 1]


def test_altered_rows_are_not_written(context: Context, state: Path, tmp_path: Path) -> None:
    store, folder = context.store, tmp_path / "out"
    build_id = context.ledger.builds("siding")[0]
    member = load_splits(context, context.ledger.snapshot("siding", 2))["train"][0]
    rows = Example.from_table(store.read("examples", [build_id]))
    assert member in rows
    altered = replace(member, messages=[member.messages[0], {"role": "assistant", "content": "Paint it every week."}])
    store.append("examples", [Example.to_table([*(e for e in rows if e != member), altered])], build_id)
    with pytest.raises(UserError, match=f"example {member.example_id} is not what was published"):
        export(context, None, folder, sealed=False)
    damaged = next((state / "tables" / "siding" / "documents").glob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"X")
    with pytest.raises(UserError, match=r"the file documents/.* is not as it was written"):
        export(context, None, folder, sealed=False)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    assert context.ledger.exports("siding") == []


def test_labels_are_the_newest_and_a_night_is_no_erasure(documents: Path, tmp_path: Path) -> None:
    assert nights.run_night("one")
    first = card_of(tmp_path / "first")
    assert "Settings of" not in first
    change_config(tmp_path, "min_answer_chars: 20", TAXONOMY)
    assert nights.run_night("two")
    context = open_context("siding", "")
    (snapshot,) = context.ledger.snapshots("siding")
    second = card_of(tmp_path / "second")
    labels = Counter(
        row["label"] for file in (tmp_path / "second").rglob("*.parquet") for row in pq.read_table(file).to_pylist()
    )
    assert labels == {"core/prices": 10, "core/rest": 20}
    said = "Settings of the domain, of curation or of the dataset were changed since this snapshot was published"
    assert said in second
    assert [line for line in limits(second) if said not in line] == limits(first)

    erasure.erase("siding", erasure.ask(context, read_request("url: cedar.md")))
    builds = context.ledger.builds("siding")
    assert (len(builds), context.ledger.snapshots("siding")[0]) == (3, snapshot)
    third = card_of(tmp_path / "third")
    assert "Over 2 nights" in third
    reports = [r for build_id in builds[:2] for r in context.ledger.reports("siding", build_id)]
    for stage in ("deduplicate", "examples", "validate"):
        own = [r for r in reports if r.stage == stage]
        assert cells(third, stage)[1:3] == [str(sum(r.rows_in for r in own)), str(sum(r.rows_out for r in own))]


def card_of(folder: Path) -> str:
    """The card of the newest snapshot's export."""
    export(open_context("siding", ""), None, folder, sealed=False)
    return (folder / "README.md").read_text()


def limits(card: str) -> list[str]:
    """The lines of the card's limits."""
    return card.partition("## Known limits\n\n")[2].partition("\n\n")[0].splitlines()
