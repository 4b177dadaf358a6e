"""The second half of a night: examples of what it touched, their splits, and what of them is kept out."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset import examples as deriving
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.dataset.holding import FIRST, HELD_MAIL, Review, hold_mail
from sovereign_tasks.dataset.outdated import find_contradicted, find_too_old
from sovereign_tasks.dataset.split import assign
from sovereign_tasks.dataset.taxonomy import Taxonomy
from sovereign_tasks.records import Example, Membership, Rejection, keyed_hash
from sovereign_tasks.stages.context import Context, among, count_reasons, open_context, timed
from sovereign_tasks.stages.groups import Groups
from sovereign_tasks.stages.nearness import find_near_holdout, read_examples
from sovereign_tasks.store import newest_rows

# Settings that examples and their labels depend on.
_DERIVING = {"min_answer_chars", "max_answer_chars", "max_answer_questions", "synthesis", "taxonomy"}


def derive(night: dict[str, Any]) -> dict[str, Any]:
    """Derive the examples of every group the night touched, split them, and keep out what must not be learned from.

    That is a train row near a held-out one, an answer that a newer one contradicts, and one that is too old. Changed
    rules of deriving touch every group.
    """
    model, build_id = night["model"], night["build_id"]
    context = open_context(model, build_id)
    if context.is_committed:
        return night
    store, ledger, options, now = context.store, context.ledger, context.config.dataset, datetime.now(UTC)
    with timed(context, "examples") as figures:
        builds = ledger.builds(model)
        waiting = {row_id for row_id, released in ledger.releases(model).items() if not released.taken_by}
        state = newest_rows(store.read("membership", builds), "example_id")
        limits = {s.name: s.max_age_days for s in context.config.sources if s.max_age_days}
        old = find_too_old(versions.candidates(state), limits, now)

        groups = Groups(context, builds)
        renewed = among("reason", [versions.TOO_OLD]) & (pc.field("change") != 1) & ~among("example_id", old)
        touched = groups.touched(waiting) | set(state.filter(renewed)["group"].to_pylist())
        if derivation(options) != _derived_by(context):
            touched = groups.every()
        review = _review(context, builds)
        found, rejections, rows = _derive(groups, touched, options)
        while True:
            old = (old - {e.example_id for e in found}) | find_too_old(_dates(found), limits, now)
            passing, _ = hold_mail(found, review)
            contradicted, turned = _find_contradicted(context, builds, state, passing, touched, old)
            if not turned:
                break
            more, rejected, read = _derive(groups, turned, options)
            found, rejections, rows, touched = found + more, rejections + rejected, rows + read, touched | turned
        found, held = hold_mail(found, review)
        splits = ledger.splits(model, touched)
        fresh_splits = assign(touched, splits, holdout_share=options.holdout_share, sealed_share=options.sealed_share)
        splits |= fresh_splits

        every = [(e, splits[e.group]) for e in found]
        near, others = find_near_holdout(context, builds, state, every, touched)
        every += others
        returned = [e for e, _ in others if e.example_id not in near]
        rivals, _ = _find_contradicted(context, builds, state, returned, touched, old)
        contradicted |= {e.example_id: rivals[e.example_id] for e in returned if e.example_id in rivals}
        # Near the holdout is said before all else: such a row may teach a base nothing either.
        out = dict.fromkeys(old, versions.TOO_OLD) | dict.fromkeys(contradicted, versions.CONTRADICTED)
        out |= dict.fromkeys(near, versions.NEAR_HOLDOUT)
        by = contradicted | near

        concerned = among("group", touched) | among("example_id", {*old, *(e.example_id for e, _ in every)})
        before = versions.by_example(state.filter(concerned))
        taxonomy = Taxonomy(options.taxonomy, {s.name: s.kind for s in context.config.sources})
        left = "erased" if night.get("erased") else "source_changed"
        events = versions.change(before, every, out, touched, taxonomy.label, left=left)
        stored = store.read("examples", builds, ["example_id"])
        known = set(stored.filter(among("example_id", (e.example_id for e in found)))["example_id"].to_pylist())
        rejections += held
        aged = read_examples(context, builds, old - {e.example_id for e, _ in every})
        rejections += [
            _kept_out(example, out[example.example_id], by.get(example.example_id), before.get(example.example_id))
            for example in sorted([*(e for e, _ in every), *aged], key=lambda e: e.example_id)
            if example.example_id in out and _is_news(before.get(example.example_id), out[example.example_id])
        ]
        figures.update(
            rows_in=rows,
            rows_out=sum(e.change for e in events if e.change == 1 and e.reason != versions.RENEWED),
            rejected=count_reasons(rejections),
            notes={"groups": len(touched), "left": -sum(e.change for e in events if e.change == -1)},
        )
        store.stage(build_id, "rejected-examples", Rejection.to_table(rejections))
        store.stage(build_id, "splits", pa.table({"json": [json.dumps(fresh_splits)]}))
        store.stage(build_id, "examples", Example.to_table(e for e in found if e.example_id not in known))
        store.stage(build_id, "events", Membership.to_table(events))
        taken = waiting & {e.example_id for e in found}
        store.stage(build_id, "released-examples", pa.table({"row_id": pa.array(sorted(taken), pa.string())}))
    return night


def derivation(options: DatasetConfig) -> str:
    """Names the rules by which documents become examples, those of the code included."""
    settings = options.model_dump(mode="json", include=_DERIVING)
    return keyed_hash("derivation", str(deriving.RULES), json.dumps(settings, sort_keys=True))


def _derived_by(context: Context) -> str:
    """The rules of the last night; they were put to everything by then."""
    last = context.ledger.manifests(context.model, 1)
    return last[0].get("derivation", "") if last else derivation(context.config.dataset)


def _derive(groups: Groups, touched: set[str], options: DatasetConfig) -> tuple[list[Example], list[Rejection], int]:
    """The examples of these groups, what made none, and how many documents there are."""
    found: list[Example] = []
    rejections: list[Rejection] = []
    rows = 0
    for documents in groups.documents(touched):
        examples, rejected = deriving.derive(documents, options)
        found += examples
        rejections += rejected
        rows += len(documents)
    return found, rejections, rows


def _find_contradicted(
    context: Context, builds: list[str], state: pa.Table, found: list[Example], touched: set[str], old: Collection[str]
) -> tuple[dict[str, tuple[str, str]], set[str]]:
    """What is contradicted among these examples and all that answer the same questions, and the groups that turn by it.

    `touched` are the groups that `found` is all of; those that turn have an example that has to leave or may return.
    """
    candidates = versions.candidates(state)
    lost = candidates.filter(among("group", touched) | among("example_id", old))["asks"].to_pylist()
    asked = {versions.asks(e.question) for e in found} | {*lost} - {""}
    current = ~among("group", touched) & ~among("example_id", {*old, *(e.example_id for e in found)})
    events = versions.by_example(candidates.filter(among("asks", asked) & current))
    rivals = [replace(e, dated=events[e.example_id].dated) for e in read_examples(context, builds, events)]
    contradicted = find_contradicted([*(e for e in found if e.example_id not in old), *rivals])
    turned = {
        event.group
        for event in events.values()
        if not versions.is_near_holdout(event)
        and (event.change != 1 and event.reason == versions.CONTRADICTED) != (event.example_id in contradicted)
    }
    return contradicted, turned


def _dates(examples: list[Example]) -> pa.Table:
    return Example.to_table(examples).select(["example_id", "source", "dated"])


def _is_news(before: Membership | None, reason: str) -> bool:
    return before is None or before.change == 1 or before.reason != reason


def _kept_out(
    example: Example, reason: str, by: tuple[str, str | float] | None, before: Membership | None
) -> Rejection:
    """The row of an example that is kept out, `by` another's id and a measured value, or by its date."""
    text = f"{example.question}\n\n{example.answer}"
    if reason == versions.TOO_OLD or by is None:
        dated = (before and before.dated) or example.dated
        twin, measured = "", f"of {dated:%Y-%m-%d}" if dated else ""
    else:
        twin, measured = by[0], f"{by[1]} to {by[0]}" if reason == versions.NEAR_HOLDOUT else str(by[1])
    return Rejection("examples", example.example_id, example.source, reason, measured, text, example.doc_ids, twin)


def _review(context: Context, builds: list[str]) -> Review:
    """What decides on examples from mail."""
    from sovereign_tasks.curate.pii import recognises_names

    personal = context.config.curation.personal_data
    sources = {source.name for source in context.config.sources if source.kind == "mail"}
    if not sources:
        return Review(sources, 0, {}, False, ())
    rows = context.store.read("quarantine", builds, ["row_id", "source", "reason", "measured"])
    rows = rows.filter((pc.field("reason") == HELD_MAIL) & pc.starts_with(pc.field("measured"), FIRST))
    first = dict(zip(rows["row_id"].to_pylist(), rows["source"].to_pylist(), strict=True))
    released = context.ledger.releases(context.model)
    return Review(sources, personal.review_mail, first, recognises_names(personal), released)
