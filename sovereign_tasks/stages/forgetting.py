"""What runs' files say of rows that are gone, and what models said that had learned from them."""

from __future__ import annotations

from collections.abc import Collection

from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.probes import blank_cases, forget_probes
from sovereign_tasks.stages.scores import blank_answers, forget_scores
from sovereign_tasks.store import model_folder


def forget_findings(context: Context, example_ids: Collection[str]) -> int:
    """Remove what was measured on these examples, and blank the answers of tainted models; how many that were."""
    removed = forget_scores(context, example_ids) + forget_probes(context, example_ids)
    for folder in sorted(model_folder(context.model, "runs").glob("*")):
        if tainted := _tainted_subjects(context, folder.name):
            removed += blank_answers(context, folder.name, tainted)
            removed += blank_cases(context, folder.name) if "candidate" in tainted else 0
    return removed


def _tainted_subjects(context: Context, run: str) -> set[str]:
    """Who of those that a run compared has learned from what is gone.

    Which champion that was is not kept, so it counts where any that ever was one is tainted.
    """
    made, taints = context.ledger.training(context.model, run), context.ledger.taints(context.model).keys()
    champions = {move["detail"].get("run_id") for move in context.ledger.moves(context.model)}
    found = {"champion"} if champions & taints else set()
    if made and {made.run_id, made.base_hash} & taints:
        found |= {"candidate"}
    return found | ({"base"} if made and made.base_hash in taints else set())
