"""From a version down to its sources, and from a source or its terms up to all that they reached."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import Example, GateDecision, Membership, StageReport, TrainingRun
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.stages.lineage import of_snapshot, of_version, plain_lineage, terms_learned
from sovereign_tasks.stages.reach import reach
from sovereign_tasks.terminal.lineage import print_lineage
from tests.unit.test_lineage_events import read_events

from . import nights

GUILD = '  - {name: guild, kind: files, folder: "%s", licence: CC-BY-4.0, consent: contract}\ndomain:'


@pytest.fixture
def context(documents: Path, tmp_path: Path) -> Context:
    """Two nights of two sources; on the second day the house's documents are under another licence."""
    guild = tmp_path / "guild"
    guild.mkdir()
    for topic, years in (("oak", 41), ("maple", 43), ("larch", 44), ("birch", 46), ("poplar", 47)):
        (guild / f"{topic}.md").write_text(nights.page(topic, years))
    path = tmp_path / "config" / "siding.yaml"
    path.write_text(path.read_text().replace("domain:", GUILD % guild))
    assert nights.run_night("one")
    path.write_text(path.read_text().replace("licence: owner", "licence: bought"))
    nights.write_second_day(documents)
    assert nights.run_night("two")
    return open_context("siding", "")


def train(ledger: Ledger, number: int, base_hash: str, *, promoted: bool) -> None:
    """Note a training on a snapshot as the stages do; its version has the number of the snapshot."""
    run, version = f"mlflow{number}", str(number)
    ledger.record_training(
        run, TrainingRun("siding", run, number, "/bases/small", base_hash, "cfg", 1, "/gone", "ad" * 32, {})
    )
    ledger.record_gates(run, GateDecision("siding", run, version, [], promoted))
    if promoted:
        detail = {"version": version, "run_id": run, "snapshot": number}
        ledger.decide("siding", "promotion", run, "promoted", "every gate passed", **detail)


def state_of(context: Context, number: int) -> dict[str, Membership]:
    """The members of a snapshot, event by event."""
    members: dict[str, Membership] = {}
    for build_id in context.ledger.builds("siding", until_snapshot=number):
        for event in Membership.from_table(context.store.read("membership", [build_id])):
            members.pop(event.example_id, None)
            if event.change == 1:
                members[event.example_id] = event
    return members


def rows_on(context: Context, number: int, column: str) -> Counter:
    """Members of a snapshot by split and by what their documents have in a column, one by one."""
    builds = context.ledger.builds("siding", until_snapshot=number)
    documents = {row["doc_id"]: row for row in context.store.read("documents", builds).to_pylist() if row["revision"]}
    rests = {e.example_id: e.doc_ids for e in Example.from_table(context.store.read("examples", builds))}
    found: Counter = Counter()
    for example_id, event in state_of(context, number).items():
        for value in {documents[doc_id][column] for doc_id in rests[example_id]}:
            found[value, event.split] += 1
    return found


def test_both_ways(context: Context) -> None:
    ledger = context.ledger
    for number in (1, 2):
        found = of_snapshot(context, number)
        assert found.rows == ledger.snapshot("siding", number).counts
        assert found.parents == list(range(number - 1, 0, -1))
        assert sum(sum(by_split.values()) for by_split in found.kinds.values()) == len(state_of(context, number))
        by_licence: Counter = Counter()
        for origin in found.origins:
            by_licence.update({(origin.licence, split): count for split, count in origin.rows.items()})
            first, last = origin.collected
            assert first <= last <= datetime.now(UTC)
        assert by_licence == rows_on(context, number, "licence")
        assert found.documents == sum(origin.documents for origin in found.origins)
    terms = {(o.source, o.licence, o.consent): o.now for o in found.origins}
    assert terms == {
        ("guild", "CC-BY-4.0", "contract"): "",
        ("house", "bought", "own-content"): "",
    }
    path = Path(os.environ["SOVEREIGN_CONFIG"], "siding.yaml")
    path.write_text(path.read_text().replace("contract", "revoked").replace("name: house", "name: home"))
    now = {o.source: o.now for o in of_snapshot(open_context("siding", ""), 2).origins}
    assert now == {"guild": "consent revoked", "house": "not in the settings"}

    for licence in ("owner", "bought", "CC-BY-4.0"):
        reached = {s.number: s.rows for s in reach(context, "licence", licence).snapshots}
        for number in (1, 2):
            wanted = {split: n for (of, split), n in rows_on(context, number, "licence").items() if of == licence}
            assert reached.get(number, {}) == wanted
    one = next(iter(context.store.read("documents", ledger.builds("siding")).to_pylist()))["doc_id"]
    assert {s.number: s.rows for s in reach(context, "document", one).snapshots} == {
        n: {s: c for (of, s), c in rows_on(context, n, "doc_id").items() if of == one}
        for n in (1, 2)
        if any(of == one for of, _ in rows_on(context, n, "doc_id"))
    }
    events = read_events(Path(os.environ["SOVEREIGN_STATE"]))
    assert [(e["eventType"], e["job"]["name"]) for e in events] == 2 * [
        ("START", "siding.build"),
        ("COMPLETE", "siding.build"),
    ]
    assert [d["name"] for d in events[-1]["inputs"]] == ["siding/source/house", "siding/source/guild"]
    version = events[-1]["outputs"][1]["facets"]["version"]["datasetVersion"]
    assert version == f"2-{ledger.snapshot('siding', 2).content_hash}"
    for by, value, said in (
        ("source", "house2", "there are guild, house"),
        ("licence", "none", "there are CC-BY-4.0, bought, owner"),
        ("document", "00ff", "never kept a document 00ff"),
    ):
        with pytest.raises(UserError, match=said):
            reach(context, by, value)


def in_snapshot(context: Context, doc_id: str, number: int) -> bool:
    """Whether a row of the snapshot rests on the document."""
    return any(of == doc_id for of, _ in rows_on(context, number, "doc_id"))


def test_versions_and_their_bases(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = context.ledger
    with pytest.raises(UserError, match="no champion yet"):
        of_version(context)
    with pytest.raises(UserError, match="no version 3; there is none"):
        of_version(context, "3")
    ledger.record_base("siding", "sha256:b1", "/bases/small", "cfg", 1)
    train(ledger, 1, "sha256:b1", promoted=True)
    train(ledger, 2, "sha256:b1", promoted=False)
    champion = of_version(context)
    assert (champion.version, champion.verdict, champion.snapshot.number) == ("1", "champion", 1)
    second = of_version(context, "2")
    assert (second.verdict, second.snapshot.number, second.base.snapshot) == ("refused by its gates", 2, 1)
    assert second.base.documents == len(base_corpus(context, 1, ["doc_id"])[0]) > 0
    assert second.base.documents == sum(origin.documents for origin in second.base.origins)
    assert terms_learned([second.snapshot], second.base) == {
        "sources": "guild, house",
        "licences": "CC-BY-4.0, bought, owner",  # the last only by its base
        "consents": "contract, own-content",
    }
    with pytest.raises(UserError, match="no version 3; there are 1, 2"):
        of_version(context, "3")

    taught = {row["doc_id"] for row in base_corpus(context, 1, ["doc_id"])[0]}
    everything = reach(context, "source", "house")
    assert [(v.version, v.rows) for v in everything.versions] == [(str(s.number), s.rows) for s in everything.snapshots]
    gone = next(
        row["doc_id"]
        for row in context.store.read("documents", ledger.builds("siding")).to_pylist()
        if row["sequence"] == 0 and row["doc_id"] in taught and not in_snapshot(context, row["doc_id"], 2)
    )
    through_base = reach(context, "document", gone)
    assert [(b.name, b.documents) for b in through_base.bases] == [("small", 1)]
    assert {v.version: (bool(v.rows), v.base_documents) for v in through_base.versions} == {
        "1": (True, 1),
        "2": (False, 1),
    }
    # A third training, on the second snapshot too, began with the adapter of the first.
    third = replace(ledger.trainings("siding")[0][1], run_id="mlflow3", base_hash="sha256:x", started_from="mlflow1")
    ledger.record_training("mlflow3", third)
    last = reach(context, "document", gone).versions[-1]
    held = through_base.versions[0].rows.get("train", 0)
    assert held
    assert (last.run_id, last.rows, last.base_documents, last.earlier_rows) == ("mlflow3", {}, 0, held)

    console = Console(width=80, highlight=False)  # what is shown fits there, and holds no words of documents
    for by, value in (("version", None), ("snapshot", 2), ("source", "guild"), ("consent", "own-content")):
        print_lineage(console, ledger, context.config, by, value, as_json=False)
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        assert "contract" in shown or "reached" in shown
        print_lineage(console, ledger, context.config, by, value, as_json=True)
        text = capsys.readouterr().out
        assert json.loads(text)
        assert "nailed" not in shown + text
    assert "larch" not in json.dumps(plain_lineage(champion.snapshot, champion.base, sampled=1))


def test_a_version_tells_how_many_rows_it_sampled(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    train(context.ledger, 1, "sha256:b1", promoted=True)
    assert (of_version(context).sampled, of_version(context).train_rows) == (None, None)
    rejected = {"too_long": 2, "sampled_out:source": 5, "sampled_out:synthetic": 6}
    context.ledger.report("siding", "mlflow1", StageReport("train", 20, 7, rejected, notes={"replayed": 3}))
    found = of_version(context)
    assert (found.sampled, found.train_rows, found.replayed) == (9, 20, 3)
    assert plain_lineage(found.snapshot, found.base, found.sampled)["sampled"] == 9
    console = Console(width=80, highlight=False)
    print_lineage(console, context.ledger, context.config, "version", None, as_json=False)
    shown = capsys.readouterr().out
    assert "  Sampled    9 of 20 train rows, " in shown
    assert "  Replayed   3 bundled everyday examples, " in shown
    own = {"sha256": "0123456789abcdef" * 4, "chats": 80}
    context.ledger.report("siding", "mlflow1", StageReport("train", 20, 9, notes={"replayed": 3, "replay": own}))
    print_lineage(console, context.ledger, context.config, "version", None, as_json=False)
    assert "  Replayed   3 chats of your file 0123456789ab, " in capsys.readouterr().out
    assert plain_lineage(found.snapshot, found.base, found.sampled, replay=own)["replay"] == own
    assert "replay" not in plain_lineage(found.snapshot, found.base, found.sampled)
    context.ledger.report("siding", "mlflow1", StageReport("train", 20, 18, {"too_long": 2}))
    print_lineage(console, context.ledger, context.config, "version", None, as_json=False)
    assert "Sampled" not in capsys.readouterr().out


def test_a_row_that_moves_to_another_split_is_counted_there(context: Context) -> None:
    first, second = context.ledger.builds("siding")
    events = [Membership.from_table(context.store.read("membership", [build])) for build in (first, second)]
    touched = {event.example_id for event in events[1]}
    moved = next(e for e in events[0] if e.change == 1 and e.split == "train" and e.example_id not in touched)
    renewed = replace(moved, split="holdout", reason="renewed")
    context.store.append("membership", [Membership.to_table([*events[1], renewed])], second)
    assert state_of(context, 2)[moved.example_id].split == "holdout"
    rows = {snapshot.number: snapshot.rows for snapshot in reach(context, "source", moved.source).snapshots}
    for number in (1, 2):
        wanted = {split: n for (of, split), n in rows_on(context, number, "source").items() if of == moved.source}
        assert rows[number] == wanted
