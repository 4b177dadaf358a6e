"""Which documents of a snapshot teach a base that is made from scratch."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.stages.context import Context, among, live_documents
from sovereign_tasks.store import newest_rows


def base_corpus(context: Context, number: int, columns: list[str]) -> tuple[list[dict[str, Any]], int]:
    """The documents of a snapshot that a base made from scratch learns from, and how many are left out of it.

    Left out is what is held out of training, and what tells what the holdout asks.
    """
    splits = context.ledger.splits(context.model)
    builds = context.ledger.builds(context.model, until_snapshot=number)
    documents = live_documents(context, builds, ["group", *columns]).to_pylist()
    state = newest_rows(context.store.read("membership", builds, ["example_id", "reason"]), "example_id")
    near = set(state.filter(pc.field("reason") == versions.NEAR_HOLDOUT)["example_id"].to_pylist())
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"]).filter(among("example_id", near))
    told = {doc_id for doc_ids in rows["doc_ids"].to_pylist() for doc_id in doc_ids}
    taught = [d for d in documents if splits.get(d["group"]) == "train" and d["doc_id"] not in told]
    return taught, len(documents) - len(taught)
