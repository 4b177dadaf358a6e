"""Which held-out rows watch over a training, and which judge it.

A row judges nothing that it had a say in, and nothing that has learned a row near it. Who tries often enough wins by
luck, so a group of rows judges so many candidates and no more; then it retires and may choose among adapters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sovereign_tasks.dataset.split import digest_examples, nearest
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Example, TrainingRun, keyed_hash
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.nearness import open_index
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.stages.taints import learned_from
from sovereign_tasks.train.search import validation_rows

CHOOSING = 5
"""Groups by which adapters are told apart, at least."""
USED = "evidence"
"""The kind of the decision that keeps which groups a run was judged by."""


@dataclass(frozen=True, slots=True)
class Judging:
    """The rows that judge a candidate, and how many others do not, by reason."""

    rows: list[Example]
    left_out: dict[str, int]


def held_out(splits: Mapping[str, Sequence[Example]]) -> list[Example]:
    """All rows that no training learns from; the sealed ones are shown nowhere else."""
    return [*splits["holdout"], *splits["sealed"]]


def watching(context: Context, splits: Mapping[str, Sequence[Example]]) -> list[Example]:
    """The rows that a training is watched by, never sealed ones.

    Where they are to choose among adapters, retired groups do; else enough others are left for the gates.
    """
    rows = list(splits["holdout"])
    if not context.config.training.chooses:
        return validation_rows(rows)
    retired = _retired(context)
    old = [example for example in rows if _name(example) in retired]
    if len(_groups(old)) >= 2 * CHOOSING:  # of which half are taken
        return validation_rows(old)
    fresh = [example for example in rows if _name(example) not in retired]
    sealed = _groups(example for example in splits["sealed"] if _name(example) not in retired)
    return validation_rows(fresh, leave=max(0, context.config.evidence.min_groups - len(sealed)))


def check_choice(context: Context, splits: Mapping[str, Sequence[Example]]) -> None:
    """Raise a `UserError` where rows are to choose among adapters and too few would be left to judge the choice."""
    if not context.config.training.chooses or len(_groups(watching(context, splits))) >= CHOOSING:
        return
    needed, groups = context.config.evidence.min_groups + CHOOSING, _groups(held_out(splits))
    found = len(groups) - len(retired_groups(context, groups))
    raise UserError(
        f"{context.model}: a search, start: both and patience choose by held-out rows, which then don't count at "
        f"the gates: that takes {needed} held-out groups, and there are {found}; do without until there are more, "
        "or raise dataset.holdout_share."
    )


def names_of(rows: Sequence[Example]) -> list[str]:
    """The groups of rows as a training keeps them: by keyed hashes, since a page's address may name a person."""
    return sorted({_name(example) for example in rows})


def retired_groups(context: Context, groups: Iterable[str]) -> set[str]:
    """Those of the groups that judge no more, as they have judged as many candidates as they may."""
    retired = _retired(context)
    return {group for group in groups if _named(group) in retired}


def judging(context: Context, made: TrainingRun, champion: TrainingRun | None) -> Judging:
    """The held-out rows of a training's snapshot by which it is compared with the champion.

    Left out are those that chose either or what it began with, those of retired groups, and those near a row that
    either has learned.
    """
    rows = held_out(load_splits(context, context.ledger.snapshot(context.model, made.snapshot)))
    compared, chose = _lineage(context, [one for one in (made, champion) if one])
    retired = _retired(context)
    left_out: Counter[str] = Counter()
    stays: list[Example] = []
    for example in rows:
        if (name := _name(example)) in chose:
            left_out["chose"] += 1
        elif name in retired:
            left_out["retired"] += 1
        else:
            stays.append(example)
    near = _near_learned(context, stays, compared)
    left_out.update({"near_learned": len(near)} if near else {})
    return Judging([example for example in stays if example.example_id not in near], dict(left_out))


def gathered_since(context: Context, moment: datetime, compared: Sequence[TrainingRun]) -> list[Example]:
    """The newest held-out rows of groups that there were none of at a moment, by which trainings are compared.

    Left out are those that chose one of them or what it began with, and those near a row that any of these learned.
    """
    ledger, snapshots = context.ledger, context.ledger.snapshots(context.model)
    then = next((s.number for s in reversed(snapshots) if s.created_at <= moment), None)
    builds = ledger.builds(context.model, until_snapshot=then) if then else []
    known = {*context.store.read("membership", builds, ["group"])["group"].to_pylist()}
    lineage, chose = _lineage(context, compared)
    rows = held_out(load_splits(context, snapshots[-1]))
    rows = [example for example in rows if example.group not in known and _name(example) not in chose]
    near = _near_learned(context, rows, lineage)
    return [example for example in rows if example.example_id not in near]


def note_use(context: Context, rows: Sequence[Example]) -> None:
    """Keep which groups judge this run; a run that is evaluated again uses them once, and too few are not used up."""
    names, most = names_of(rows), context.config.evidence.max_uses
    if len(names) < context.config.evidence.min_groups:
        return
    reason = f"{len(names)} held-out groups judge this candidate; each judges {most}"
    context.ledger.decide(context.model, USED, context.run, "used", reason, groups=names)


def most_used(context: Context, run: str) -> int:
    """How many candidates the most used of the groups that judged a run has judged by now; 0 where too few judged."""
    decisions = context.ledger.decisions(context.model, USED)
    own = next((set(d["detail"]["groups"]) for d in decisions if d["run"] == run), set())
    uses = Counter(name for decision in decisions for name in decision["detail"]["groups"])
    return max((uses[name] for name in own), default=0)


def _lineage(context: Context, trainings: Iterable[TrainingRun]) -> tuple[list[TrainingRun], set[str]]:
    """Trainings with those that they go back to, and the groups, by name, that chose any of them."""
    lineage = [t for one in trainings for t in (one, *context.ledger.ancestors(one))]
    return lineage, {name for training in lineage for name in training.chosen_by}


def _retired(context: Context) -> set[str]:
    """The groups, by name, that have judged as many candidates as they may, this run's own aside."""
    others = [d for d in context.ledger.decisions(context.model, USED) if d["run"] != context.run]
    uses = Counter(name for decision in others for name in decision["detail"]["groups"])
    return {name for name, count in uses.items() if count >= context.config.evidence.max_uses}


def _near_learned(context: Context, rows: Sequence[Example], trainings: Iterable[TrainingRun]) -> set[str]:
    """Which rows come near one that a training has learned: an older one knew nothing of newer held-out rows."""
    trainings = list(trainings)
    numbers, hashes = {t.snapshot for t in trainings}, {t.base_hash for t in trainings}
    bases = context.ledger.bases(context.model)  # those that were made here have read a snapshot's rows as well
    numbers |= {base["snapshot"] for base in bases if base["base_hash"] in hashes} - {None}
    learned = {i for number in numbers for i in learned_from(context, number)}
    digests, builds = digest_examples(rows), context.ledger.builds(context.model)
    met = open_index(context, builds).candidates(context.model, list(digests.values()), builds)
    threshold = context.config.dataset.near_holdout
    return {
        example_id
        for (example_id, own), others in zip(digests.items(), met, strict=True)
        if nearest(own, [(i, digest) for i, digest in others if i in learned], threshold)
    }


def _name(example: Example) -> str:
    return _named(example.group)


def _named(group: str) -> str:
    return keyed_hash("held out", group)


def _groups(rows: Iterable[Example]) -> set[str]:
    return {example.group for example in rows}
