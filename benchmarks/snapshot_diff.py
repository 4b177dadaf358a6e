"""What changed between two snapshots of 100,000 rows, by `diff` and by an outer join of the two versions in pandas.

    python benchmarks/snapshot_diff.py [--rows N]

A model's tables get a first build of N examples and a second in which 1%, then a third in which 30% of the rows give
way to new wording. `diff` reads membership and counts by source, kind, label and reason, then shows 20 changes in
words; pandas joins the two versions, each read whole, by their ids. Each in a process of its own: seconds and
peak memory. `value` is the time of pandas over ours for the smaller change. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SHARES = (0.01, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of a snapshot")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        how, before, after = options.measure.split(",")
        print(json.dumps(measure(how, int(before), int(after))))
        return
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-") as folder:
        environment = os.environ | {
            "SOVEREIGN_STATE": folder,
            "SOVEREIGN_CONFIG": folder,
            "SOVEREIGN_KEY": "ab" * 32,
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        }
        os.environ |= environment
        build(Path(folder), options.rows)
        results: dict[str, dict[str, Any]] = {}
        for number, share in enumerate(SHARES, 1):
            for how in ("diff", "pandas"):
                argv = [sys.executable, __file__, "--measure", f"{how},{number},{number + 1}"]
                done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                results[f"{how} {share:.0%}"] = got = json.loads(done.stdout.splitlines()[-1])
                took = f"{got['seconds']:6.2f} s, {got['megabytes']:6.0f} MB"
                print(f"{how:10} {share:4.0%} changed: {took}, {got['changes']:,} changes")
    value = results["pandas 1%"]["seconds"] / results["diff 1%"]["seconds"]
    print(
        json.dumps(
            {"claim": "a diff reads events, not texts", "value": round(value, 2), "rows": options.rows} | results
        )
    )


def build(folder: Path, rows: int) -> None:
    """Three snapshots of a model, as publishing leaves them."""
    from sovereign_tasks.dataset import snapshot as versions
    from sovereign_tasks.ledger import Commit, open_ledger
    from sovereign_tasks.records import Example, Membership, Snapshot
    from sovereign_tasks.store import Store, newest_rows

    (folder / "bench.yaml").write_text(
        "model: bench\ndescription: Many rows\ndomain: {keywords: [word]}\n"
        "sources: [{name: house, kind: files, folder: none, licence: owner, consent: own-content}]\n"
    )
    rng, store, ledger = random.Random(42), Store("bench"), open_ledger(folder)  # noqa: S311
    words = [f"word{n}" for n in range(5000)]

    def example(n: int, version: int) -> Example:
        answer = " ".join(rng.choices(words, k=60))
        messages = [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": answer}]
        return Example(f"{n:08x}{version:02x}", "heading", "house", f"g{n // 4}", "en", messages, ["d"], [])

    standing = {n: example(n, 0) for n in range(rows)}
    state = Membership.schema.empty_table()
    for number, share in enumerate((1.0, *SHARES), 1):
        build_id = f"{number:016x}"
        touched = sorted(rng.sample(range(rows), int(rows * share)))
        if number > 1:
            standing |= {n: example(n, number) for n in touched}
        fresh = [standing[n] for n in touched]
        groups = {e.group for e in fresh}
        before = {i: e for i, e in versions.by_example(state).items() if e.group in groups}
        kept = [(e, "train") for e in standing.values() if e.group in groups]
        events = versions.change(before, kept, {}, groups)
        store.append("examples", [Example.to_table(fresh)], build_id)
        store.append("membership", [Membership.to_table(events)], build_id)
        builds = [*ledger.builds("bench"), build_id]
        state = newest_rows(store.read("membership", builds), "example_id").select(Membership.schema.names)
        content, counts = versions.content_hash(state), versions.count(state)
        parent = number - 1 or None
        snapshot = Snapshot("bench", number, parent, build_id, content, counts, "", "", datetime.now(UTC))
        ledger.commit(Commit("bench", build_id, number - 1, snapshot, {}))


def measure(how: str, before: int, after: int) -> dict[str, Any]:
    """One comparison of two snapshots."""
    from sovereign_tasks.stages.context import open_context

    context = open_context("bench", "")
    changes = {"diff": ours, "pandas": theirs}[how]
    began = time.perf_counter()
    found = changes(context, before, after)
    return {
        "seconds": round(time.perf_counter() - began, 3),
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "changes": found,
    }


def ours(context: Any, before: int, after: int) -> int:
    """Changes by `diff`, 20 of them in words."""
    from sovereign_tasks.dataset.diff import compare_words
    from sovereign_tasks.stages.snapshots import diff, read_texts

    found = diff(context, before, after)
    shown = found.changes[:20]
    texts = read_texts(context, {i for c in shown for i in (c.old, c.new) if i})
    for change in shown:
        compare_words(texts[change.old].answer, texts[change.new].answer)
    return len(found.changes)


def theirs(context: Any, before: int, after: int) -> int:
    """Rows that are in one version alone, by pandas."""
    import pandas as pd

    from sovereign_tasks.dataset import snapshot as versions
    from sovereign_tasks.records import Example
    from sovereign_tasks.stages.snapshots import read_state

    def frame(number: int) -> pd.DataFrame:
        snapshot = context.ledger.snapshot("bench", number)
        ids = versions.members(read_state(context, snapshot, ["example_id", "change"]))["example_id"].to_pylist()
        rows = context.store.read("examples", context.ledger.builds("bench", until_snapshot=number))
        wanted = set(ids)
        examples = (e for e in Example.from_table(rows) if e.example_id in wanted)
        return pd.DataFrame(
            [(e.example_id, e.source, e.kind, e.question, e.answer) for e in examples],
            columns=["id", "source", "kind", "question", "answer"],
        )

    joined = frame(before).merge(frame(after), on="id", how="outer", indicator=True, suffixes=("_before", "_after"))
    return int((joined["_merge"] != "both").sum())


if __name__ == "__main__":
    main()
