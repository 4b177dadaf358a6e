"""What waits in quarantine for a person, and letting it go on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Release
from sovereign_tasks.records import document_id
from sovereign_tasks.stages.clean_texts import clean_texts, text_of
from sovereign_tasks.stages.context import Context, among, live_documents
from sovereign_tasks.store import newest_rows

HELD = ("held_mail", "held_off_topic", "held_toxic", "flood")
"""Reasons of rows that a person may release; other rows go on when the rule that rejected them is changed."""


@dataclass(frozen=True)
class Quarantined:
    """One rejected row as it stands: its latest reason, and whether it waits for a person."""

    row_id: str
    source: str
    reason: str
    measured: str
    text: str
    waits: bool


def quarantined(context: Context) -> list[Quarantined]:
    """Every row that is out, by its latest rejection: those that wait first, then by reason, source and id."""
    builds = context.ledger.builds(context.model)
    columns = ["row_id", "source", "reason", "measured", "text"]
    rows = newest_rows(context.store.read("quarantine", builds, columns), "row_id")
    rows = _without_joined(rows, live_documents(context, builds, ["doc_id"]), "doc_id")
    events = context.store.read("membership", builds, ["example_id", "change"])
    joined = newest_rows(events, "example_id").filter(pc.field("change") == 1)
    rows = _without_joined(rows, joined, "example_id")
    released, order = context.ledger.releases(context.model), {build: n for n, build in enumerate(builds)}

    def waits(row: dict[str, Any]) -> bool:
        one = released.get(row["row_id"])
        held_anew = one is not None and one.taken_by != "" and order[one.taken_by] <= row["sequence"]
        return row["reason"] in HELD and (one is None or held_anew)

    found = [Quarantined(*(row[c] for c in columns), waits=waits(row)) for row in rows.to_pylist()]
    return sorted(found, key=lambda q: (not q.waits, q.reason, q.source, q.row_id))


def locate(context: Context, rows: Collection[Quarantined]) -> dict[str, str]:
    """Where the documents among these rows lie in their sources, by row id.

    Only the ledger knows it, since a path may hold a person's name; nothing for a document that its source no longer
    has.
    """
    wanted, ledger, found = {row.row_id for row in rows}, context.ledger, {}
    for source in {row.source for row in rows}:
        refused = ((address, "") for address in ledger.validators(context.model, source))  # of which no item was made
        for address, item in (*refused, *ledger.items(context.model, source)):
            if (doc_id := document_id(source, address, item)) in wanted:
                found[doc_id] = address
    return found


def release(context: Context, row_ids: Sequence[str], reason: str, by: str) -> int:
    """Let held rows go on from the next night, with the words that they have now.

    Raises UserError, and releases none, if one of them can't be.
    """
    if not reason.strip():
        raise UserError("--reason is empty: say why these rows may be learned from; it is kept with them.")
    known = {q.row_id: q for q in quarantined(context)}
    for row_id in row_ids:
        row = known.get(row_id)
        if row is None:
            raise UserError(f"{row_id}: {context.model} has no such row in quarantine; `quarantine list` shows them.")
        if row.reason not in HELD:
            raise UserError(
                f"{row_id} was rejected as {row.reason} ({row.measured}), which no release can change: "
                f"change curation or dataset in the model's YAML. What waits for you is {', '.join(HELD)}."
            )
    read = _words_of(context, row_ids)
    rows = {row_id: Release(known[row_id].source, read.get(row_id, ""), taken_by="") for row_id in row_ids}
    context.ledger.release(context.model, rows, reason.strip(), by)
    return len(row_ids)


def _words_of(context: Context, doc_ids: Collection[str]) -> dict[str, str]:
    """The exact hashes of these documents' newest clean texts; examples have none, as their ids are of their words."""
    from sovereign_tasks.digests import exact_hash

    newest: dict[str, tuple[int, str]] = {}
    for part in clean_texts(context, context.ledger.builds(context.model), doc_ids):
        for row in part.filter(among("doc_id", doc_ids)).to_pylist():
            own = (row["sequence"], exact_hash(text_of(row)))
            newest[row["doc_id"]] = max(own, newest.get(row["doc_id"], own))
    return {doc_id: words for doc_id, (_, words) in newest.items()}


def _without_joined(rows: pa.Table, joined: pa.Table, key: str) -> pa.Table:
    """Rows less those that came in with a later build than the one that rejected them."""
    since = dict(zip(joined[key].to_pylist(), joined["sequence"].to_pylist(), strict=True))
    pairs = zip(rows["row_id"].to_pylist(), rows["sequence"].to_pylist(), strict=True)
    return rows.filter(pa.array([since.get(row_id, -1) < sequence for row_id, sequence in pairs], pa.bool_()))
