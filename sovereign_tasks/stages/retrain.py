"""From a due snapshot to a judged version: preflight -> base -> train -> evaluate -> gate -> promote.

A run's files (adapter, reports) lie below its key; what it decided is in the ledger. Every stage may run again
and gives the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_tasks import __version__
from sovereign_tasks.config import config_hash, read_model
from sovereign_tasks.errors import Paused, UserError
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import EvalReport, Example, GateDecision, Snapshot, TrainingRun
from sovereign_tasks.stages.base import check_base, find_base
from sovereign_tasks.stages.cards import hold_cards
from sovereign_tasks.stages.context import Context, open_context, run_key, timed
from sovereign_tasks.stages.lineage import SAMPLED_OUT, of_base, of_snapshot, plain_lineage, terms_learned
from sovereign_tasks.stages.plan import RATE, reckon
from sovereign_tasks.stages.scores import read_reports, write_reports
from sovereign_tasks.stages.snapshots import load_splits, newest_labels
from sovereign_tasks.stages.taints import champion_taint, clean_snapshots, drop_tainted, note_taint, taint_of
from sovereign_tasks.stages.weights import drop_old_weights
from sovereign_tasks.store import model_folder
from sovereign_tasks.supervision import watch_supervisor

BY_HAND = "asked for by hand"
_TAINTED = "has learned from what was erased since"


def preflight(model: str, run_id: str, number: int | None, by_hand: bool) -> dict[str, Any] | None:
    """Verify the snapshot, the base and what training will need, before it begins; None when this snapshot needs none.

    `number` is the snapshot asked for by hand, or None for the newest. Events can come twice or late, so the ledger
    decides: a snapshot that was trained on already is not trained on again unless by hand.
    """
    from sovereign_tasks.train.due import NOTHING_HELD_OUT

    context = open_context(model, run_key("retrain", model, run_id))
    with timed(context, "preflight") as figures:
        check_base(context.config)
        snapshot = snapshot_to_train(context, number)
        trained = clean_snapshots(context)
        if snapshot.number in trained and not by_hand:
            reason = f"snapshot {snapshot.number} was trained on already"
            context.ledger.decide(model, "preflight", context.run, "skipped", reason)
            return None
        splits = load_splits(context, snapshot)
        if not splits["holdout"]:
            raise UserError(f"{model} snapshot {snapshot.number} can't be trained on: {NOTHING_HELD_OUT}.")
        rows = sum(len(examples) for examples in splits.values())
        _wait_for_hours(context)  # what memory is free by day says nothing of the night
        with hold_cards(context.ledger, context.run, context.config.training.gpus):  # what is free on those counts
            plan = reckon(context, snapshot, splits["train"], find_base(context))
        figures.update(rows_in=rows, rows_out=rows, notes={"snapshot": snapshot.number} | plan.notes())
        plan.refuse()
        reason = BY_HAND if by_hand else _why_due(context, snapshot.number)
        context.ledger.decide(model, "preflight", context.run, "needed", reason, snapshot=snapshot.number)
    return {"model": model, "run": context.run, "snapshot": snapshot.number}


def _wait_for_hours(context: Context) -> None:
    """Raise Paused outside the hours in which the model may be trained."""
    from sovereign_tasks.train.window import Window

    hours, now = context.config.training.window, datetime.now().astimezone()
    if not Window(hours).is_open(now):
        raise Paused(f"{context.model}: training waits for its hours ({hours}).", Window(hours).opens(now))


def _why_due(context: Context, number: int) -> str:
    """Why a snapshot was found due; an asset event that no night sent was made by a person."""
    decisions = context.ledger.decisions(context.model, "retrain")
    due = (d["reason"] for d in decisions if d["outcome"] == "due" and d["detail"].get("snapshot") == number)
    return next(due, BY_HAND)


def snapshot_to_train(context: Context, number: int | None) -> Snapshot:
    """The snapshot of a number, or the newest."""
    if number:
        return context.ledger.snapshot(context.model, number)
    snapshots = context.ledger.snapshots(context.model)
    if not snapshots:
        raise UserError(f"{context.model} has no snapshot to train on; run `run {context.model}` first.")
    return snapshots[-1]


def train(model: str, run: str, number: int, base: str) -> dict[str, Any]:
    """Tune an adapter on the snapshot's training rows, with its curves, figures and files in MLflow."""
    from sovereign_tasks.causal_lm import base_name
    from sovereign_tasks.train import qlora, tracking
    from sovereign_tasks.train.device import software
    from sovereign_tasks.train.plots import plot_lengths, plot_losses
    from sovereign_tasks.train.sampling import sample
    from sovereign_tasks.train.system_metrics import system_metrics

    supervised = watch_supervisor()
    context = open_context(model, run)
    training, snapshot = context.config.training, context.ledger.snapshot(model, number)
    splits = load_splits(context, snapshot)
    sampled = sample(splits["train"], newest_labels(context), training.sampling, training.seed)
    hashed, base_hash = config_hash(training), base_name(Path(base))
    learned = [
        dataset(model, "snapshot", version=f"{number}-{snapshot.content_hash}"),
        dataset(model, f"base/{Path(base).name}", version=base_hash),
    ]
    with (
        told(model, "train", run, learned) as outputs,
        timed(context, "train") as figures,
        context.ledger.lease(f"train/{model}", run) as held,
        hold_cards(context.ledger, run, training.gpus) as cards_held,
    ):
        _wait_for_hours(context)

        def check() -> None:
            held()
            cards_held()
            supervised()

        tags = {
            "config_hash": hashed,
            "code_version": __version__,
            "base_hash": base_hash,
            "system_prompt_hash": hashlib.sha256(training.system_prompt.encode()).hexdigest()[:16],
            "reason": next((d["reason"] for d in context.ledger.decisions(model, "preflight", run)), BY_HAND),
        }
        run_id = tracking.start_run(
            model,
            run,
            snapshot=number,
            snapshot_hash=snapshot.content_hash,
            counts=snapshot.counts,
            params=training.model_dump(mode="json") | {SAMPLED_OUT: sampled.left_out},
            tags=tags,
        )
        learns = (of_snapshot(context, number), of_base(context, base, base_hash))
        tracking.log_lineage(run_id, plain_lineage(*learns, sampled=len(sampled.examples)))
        tracking.log_files(run_id, {"model.yaml": read_model(model), "environment.txt": software()})
        output = model_folder(model, "runs", run) / "adapter"
        try:
            with system_metrics(run_id), tracking.Curves(run_id) as curves:
                result = qlora.train(
                    sampled.examples,
                    training,
                    Path(base),
                    output,
                    validation=splits["holdout"],
                    progress=lambda step, steps, loss: context.advance("train", step, steps),
                    on_metrics=curves,
                    check=check,
                )
                curves(result.steps, measured := {RATE: result.tokens_per_second} | result.card)
        except UserError:
            tracking.end_run(run_id, ok=False)
            raise
        losses, lengths = qlora.read_record(output)
        tracking.log_figures(run_id, {"loss.png": plot_losses(losses), "lengths.png": plot_lengths(lengths)})
        made = TrainingRun(
            model=model,
            run_id=run_id,
            snapshot=number,
            base=base,
            base_hash=result.base_hash,
            config_hash=hashed,
            seed=training.seed,
            adapter=str(output),
            adapter_hash=result.adapter_hash,
            metrics=result.metrics | measured,
            hardware=tracking.hardware(),
        )
        context.ledger.record_training(run, made)
        note_taint(context, made)
        outputs.append(dataset(model, "adapter", version=made.adapter_hash))
        figures.update(
            rows_in=len(splits["train"]),
            rows_out=result.examples,
            rejected=({"too_long": result.left_out} if result.left_out else {})
            | {f"{SAMPLED_OUT}:{cap}": count for cap, count in sampled.left_out.items()},
            notes={"replayed": result.replayed, "steps": result.steps, "not_capped": sampled.not_capped}
            | {"rows_at_a_time": result.batch_size}
            | made.metrics,
        )
    return {"model": model, "run": run, "snapshot": number, "mlflow_run": run_id, "url": tracking.run_url(run_id)}


def evaluate(model: str, run: str) -> dict[str, Any]:
    """Score candidate, base and champion on the same held-out rows, answers included."""
    context = open_context(model, run)
    made = _training(context)
    holdout = load_splits(context, context.ledger.snapshot(model, made.snapshot))["holdout"]
    with timed(context, "evaluate") as figures, hold_cards(context.ledger, run):
        subjects = {"candidate": made, "base": made, "champion": _champion(context)}
        reports: dict[str, dict[str, EvalReport]] = {}
        for subject, training in subjects.items():
            if training is not None:
                reports[subject] = _score(context, subject, training, holdout, len(reports))
        write_reports(context, reports)
        figures.update(rows_in=len(holdout), rows_out=len(holdout), notes={s: _means(by) for s, by in reports.items()})
    return {"model": model, "run": run, "rows": len(holdout)}


def judge(model: str, run: str) -> dict[str, Any] | None:
    """Hold the candidate against every gate and record every row; None when it is refused."""
    from sovereign_tasks.evaluate import gates
    from sovereign_tasks.train import tracking
    from sovereign_tasks.train.due import is_due

    context = open_context(model, run)
    made, reports = _training(context), read_reports(context)
    with timed(context, "gate") as figures:
        taint = champion_taint(context)
        must_go = taint is not None and is_due(taint, context.config.retrain)
        subjects = (reports["candidate"], reports["base"], reports.get("champion"))
        rows = gates.judge(context.config.gates, *subjects, champion_must_go=must_go)
        if taint := note_taint(context, made):
            rows.append(gates.refuse_tainted(taint.rows))
        passed = gates.passed(rows)
        means = {f"eval/{metric}": value for metric, value in _means(reports["candidate"]).items()}
        tags = {
            "snapshot": str(made.snapshot),
            "adapter_hash": made.adapter_hash,
            "base_hash": made.base_hash,
            "config_hash": made.config_hash,
            **terms_learned(of_snapshot(context, made.snapshot), of_base(context, made.base, made.base_hash)),
        }
        version = tracking.register(made.run_id, model, Path(made.adapter), metrics=means, tags=tags)
        context.ledger.record_gates(run, GateDecision(model, made.run_id, version, rows, passed))
        tracking.log_gates(made.run_id, model, version, rows, passed=passed)
        tracking.end_run(made.run_id)
        refused = {row.gate: 1 for row in rows if not row.passed}
        figures.update(rows_in=len(rows), rows_out=len(rows) - len(refused), rejected=refused)
        drop_old_weights(context)
    return {"model": model, "run": run, "version": version} if passed else None


def promote(model: str, run: str) -> dict[str, Any]:
    """Make the candidate the champion."""
    from sovereign_tasks import promote as promotion

    context = open_context(model, run)
    made = _training(context)
    verdict = context.ledger.decisions(model, "gate", run)[0]
    if verdict["outcome"] != "passed":
        raise UserError(f"{model}: run {run} did not pass its gates, so it can't be promoted.")
    if taint_of(context, made):
        raise UserError(f"{model}: run {run} {_TAINTED}, so it can't be promoted; the next training is without them.")
    version = verdict["detail"]["version"]
    candidate = [dataset(model, "adapter", version=made.adapter_hash)]
    with told(model, "promote", run, candidate) as outputs, timed(context, "promote"):
        before = promotion.promote(model, version)
        reason = f"every gate passed; took over from version {before}" if before else "every gate passed; the first"
        context.ledger.decide(
            model, "promotion", run, "promoted", reason, version=version, run_id=made.run_id, snapshot=made.snapshot
        )
        drop_tainted(context, champion=made)
        drop_old_weights(context)
        outputs.append(dataset(model, "champion", version=str(version)))
    return {"model": model, "version": version, "previous": before}


# --- the parts of a training ---


def _score(
    context: Context, subject: str, training: TrainingRun, holdout: list[Example], done: int
) -> dict[str, EvalReport]:
    from sovereign_tasks.causal_lm import load_base_of, load_with_adapter
    from sovereign_tasks.evaluate.score import score, score_general

    load = load_base_of if subject == "base" else load_with_adapter
    model, tokenizer = load(Path(training.base), Path(training.adapter))
    prompt = context.config.training.system_prompt
    rows = max(1, len(holdout))

    def tell(what: str, at: int, of: int) -> None:
        share = {"nll": 0.0, "question_gain": 0.2, "answers": 0.4}[what] + 0.6 * at / max(1, of)
        context.advance("evaluate", int((done + min(1.0, share)) * rows), 3 * rows)

    held = score(model, tokenizer, holdout, prompt, subject=subject, generations=True, progress=tell)
    general = score_general(model, tokenizer, prompt, subject=subject)
    return {held.dataset: held, general.dataset: general}


def _means(reports: dict[str, EvalReport]) -> dict[str, float]:
    return {metric: round(report.mean(metric), 4) for report in reports.values() for metric in report.scores}


def _training(context: Context) -> TrainingRun:
    """What this run trained."""
    training = context.ledger.training(context.model, context.run)
    if training is None:
        raise UserError(f"{context.model}: run {context.run} has trained nothing yet.")
    return training


def _champion(context: Context) -> TrainingRun | None:
    """The training behind the champion, its adapter fetched from MLflow where it was trained elsewhere."""
    from sovereign_tasks import promote as promotion

    model, current = context.model, promotion.champion(context.model)
    if current is None:
        return None
    known = next((t for _, t in context.ledger.trainings(model) if t.run_id == current.run_id), None)
    if known is None:
        raise UserError(f"{model}: version {current.version} is the champion, but the ledger has no training of it.")
    if Path(known.adapter).exists():
        return known
    return replace(
        known, adapter=str(promotion.fetch_adapter(current, model_folder(model, "champions"), known.adapter_hash))
    )
