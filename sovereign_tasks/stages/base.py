"""The base that a model is tuned on: the owner's own folder, or a small one that is made here from scratch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sovereign_tasks.config import PROJECT, ModelConfig, config_hash
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.general import CHARACTERS_PER_TOKEN
from sovereign_tasks.records import Taint, TrainingRun
from sovereign_tasks.stages.cards import hold_cards
from sovereign_tasks.stages.context import Context, open_context, run_key, timed
from sovereign_tasks.stages.corpus import base_corpus
from sovereign_tasks.stages.sealing import check_files
from sovereign_tasks.store import model_folder
from sovereign_tasks.supervision import watch_supervisor
from sovereign_tasks.training_config import SCRATCH


def check_base(config: ModelConfig) -> None:
    """See that the base model can be used, before anything depends on it."""
    from sovereign_tasks.causal_lm import check_folder

    if config.training.base_model != SCRATCH:
        check_folder(_own_folder(config))


def prepare_base(model: str, run: str, number: int) -> dict[str, Any]:
    """Find the base that a training is to use; where one from scratch is wanted and there is none, make it."""
    context = open_context(model, run)
    with timed(context, "base") as figures:
        path = find_base(context) or _make(context, number, figures)[0]
    return {"model": model, "run": run, "snapshot": number, "base": str(path)}


def find_base(context: Context) -> Path | None:
    """The base that the next training uses; None where one from scratch has yet to be made."""
    if context.config.training.base_model != SCRATCH:
        return _own_folder(context.config)
    known = newest_base(context)
    return known and Path(known["path"])


def what_changed(context: Context, training: TrainingRun) -> str:
    """How the next training would differ from this one in base or settings, in words; empty where it would not.

    A base that can't be read just now, or has yet to be made, is no other one.
    """
    from sovereign_tasks.causal_lm import base_name

    try:
        base = find_base(context)
        base_hash = base_name(base) if base else training.base_hash
    except (UserError, OSError):
        base_hash = training.base_hash
    if base_hash != training.base_hash:
        return "the base has changed"
    return "its settings have changed" if config_hash(context.config.training) != training.config_hash else ""


def check_corpus(model: str, run_id: str, number: int | None) -> dict[str, Any]:
    """See that a base can be made of a snapshot, the newest if None, before a GPU is taken, and say of how much text.

    `passes` is how often the training will read that text, at four characters a token.
    """
    from sovereign_tasks.train import pretrain

    context = open_context(model, run_key("base", model, run_id))
    training = context.config.training
    with timed(context, "corpus") as figures:
        if training.base_model != SCRATCH:
            raise UserError(f"{model}: training.base_model is {training.base_model}; set it to scratch to make one.")
        snapshots = context.ledger.snapshots(model)
        if not snapshots:
            raise UserError(f"{model} has no snapshot to make a base of; run `run {model}` first.")
        number = context.ledger.snapshot(model, number).number if number else snapshots[-1].number
        check_files(context, ("documents", "examples", "membership"))
        taught, left_out = base_corpus(context, number, ["text"])
        texts = [document["text"] for document in taught]
        pretrain.identify(texts, training.scratch, training.seed)
        characters = sum(map(len, texts))
        read = pretrain.tokens_seen(training.scratch) * (1 - training.scratch.general_share) * CHARACTERS_PER_TOKEN
        notes = {"snapshot": number, "characters": characters, "passes": round(read / characters, 1)}
        figures.update(rows_in=len(texts) + left_out, rows_out=len(texts), notes=notes)
        figures["rejected"] = {"held_out": left_out}
    return {"model": model, "run": context.run} | notes


def make_base(model: str, run: str, number: int) -> dict[str, Any]:
    """Make a base of a snapshot, which the next training then uses; perplexities are per token, on text kept out."""
    context = open_context(model, run)
    with timed(context, "base") as figures:
        path, report = _make(context, number, figures)
    told = {name: report[name] for name in ("parameters", "perplexity", "hash")}
    return {"model": model, "run": run, "snapshot": number, "base": str(path)} | told


def newest_base(context: Context) -> dict[str, Any] | None:
    """The base from scratch that the next training uses: the last made by these settings that nothing taints.

    None where there is none, or the owner brings one.
    """
    training, taints = context.config.training, context.ledger.taints(context.model)
    if training.base_model != SCRATCH:
        return None
    wanted = config_hash(training.scratch)
    bases = [b for b in context.ledger.bases(context.model) if b["base_hash"] not in taints]
    return next((b for b in bases if b["config_hash"] == wanted and Path(b["path"]).exists()), None)


def unknown_bases(context: Context) -> list[Path]:
    """What was made here of bases and never finished, or finished by one that ended before the ledger knew of it."""
    bases = {base["path"] for base in context.ledger.bases(context.model)}
    used = {training.base for _, training in context.ledger.trainings(context.model)}
    known, folder = {Path(path).name for path in bases | used}, model_folder(context.model, "bases")
    ours = [*folder.glob(".*"), *folder.glob(f"{SCRATCH}-*")]
    return [path for path in ours if path.name not in known]


def _own_folder(config: ModelConfig) -> Path:
    """The owner's base; a relative path starts at the project, wherever the task runs."""
    return PROJECT / Path(config.training.base_model).expanduser()


def _make(context: Context, number: int, figures: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """A base of the snapshot's training groups, in a folder named after all that makes it what it is."""
    from sovereign_tasks.causal_lm import base_name
    from sovereign_tasks.train import pretrain

    model, training = context.model, context.config.training
    supervised = watch_supervisor()
    with (
        context.ledger.lease(f"base/{model}", context.run) as held,
        hold_cards(context.ledger, context.run) as card_held,
    ):

        def tell(step: int, steps: int, loss: float) -> None:
            held()
            card_held()
            supervised()
            context.advance("base", step, steps)

        taught, left_out = base_corpus(context, number, ["text"])
        texts = [document["text"] for document in taught]
        identity = pretrain.identify(texts, training.scratch, training.seed)
        folder = model_folder(model, "bases") / f"{SCRATCH}-{pretrain.short_name(identity)}"
        report = pretrain.make_base(
            texts,
            training.scratch,
            folder,
            seed=training.seed,
            snapshot=number,
            progress=tell,
        )
        base_hash, wanted = base_name(folder), config_hash(training.scratch)
        with context.ledger.lease(f"publish/{model}", context.run):  # an erasure sees the base, or is seen by it
            context.ledger.record_base(model, base_hash, str(folder), wanted, report["snapshot"])
            erased = context.ledger.tombstones(model)
        if lost := {document["doc_id"] for document in taught} & erased:
            context.ledger.taint(model, base_hash, Taint(len(lost), on_request=False))
            raise TransientError(
                f"{len(lost)} documents that the base was made of were erased meanwhile; it is made anew."
            )
        for left in unknown_bases(context):
            shutil.rmtree(left, ignore_errors=True)
    figures.update(rows_in=len(texts) + left_out, rows_out=len(texts), notes=report)
    figures["rejected"] = {"held_out": left_out}
    return folder, report
