"""From a due snapshot to a judged version: preflight -> (base, train) -> evaluate -> gate -> promote.

A run's files (adapter, reports) lie below its key; what it decided is in the ledger. Every stage may run again
and gives the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.lineage_events import dataset, told
from sovereign_tasks.records import EvalReport, Example, GateDecision, Snapshot, TrainingRun, failed
from sovereign_tasks.stages.approval import check_approved
from sovereign_tasks.stages.base import check_base, find_base
from sovereign_tasks.stages.cards import hold_cards
from sovereign_tasks.stages.champion import champion_of, noted_champion
from sovereign_tasks.stages.context import Context, open_context, run_key, timed
from sovereign_tasks.stages.forgetting import forget_findings
from sovereign_tasks.stages.held_out import check_choice, judging, note_use
from sovereign_tasks.stages.job import BY_HAND, wait_for_hours
from sovereign_tasks.stages.judging import JUDGE, judge_answers
from sovereign_tasks.stages.lineage import of_base, of_snapshot, terms_learned
from sovereign_tasks.stages.moves import make_champion
from sovereign_tasks.stages.own_tasks import ask_tasks, gates_of, tasks_of
from sovereign_tasks.stages.plan import reckon
from sovereign_tasks.stages.probes import probe, probe_rows, probe_summary
from sovereign_tasks.stages.replay import read_replay
from sovereign_tasks.stages.scores import read_reports, with_slices, write_reports
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.stages.story import describe, keep_report
from sovereign_tasks.stages.taints import clean_snapshots, drop_tainted, known_taint, note_taint, taint_of
from sovereign_tasks.stages.weights import drop_old_weights

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
        tasks_of(context.config)
        snapshot = snapshot_to_train(context, number)
        trained = clean_snapshots(context)
        if snapshot.number in trained and not by_hand:
            reason = f"snapshot {snapshot.number} was trained on already"
            context.ledger.decide(model, "preflight", context.run, "skipped", reason)
            return None
        splits = load_splits(context, snapshot)
        if not splits["holdout"]:
            raise UserError(f"{model} snapshot {snapshot.number} can't be trained on: {NOTHING_HELD_OUT}.")
        check_choice(context, splits)
        rows = sum(len(examples) for examples in splits.values())
        wait_for_hours(context)  # what memory is free by day says nothing of the night
        with hold_cards(context.ledger, context.run, context.config.training.gpus):  # what is free on those counts
            plan = reckon(context, snapshot, splits, find_base(context))
        figures.update(rows_in=rows, rows_out=rows, notes={"snapshot": snapshot.number} | plan.notes())
        plan.refuse()
        reason = BY_HAND if by_hand else _why_due(context, snapshot.number)
        context.ledger.decide(model, "preflight", context.run, "needed", reason, snapshot=snapshot.number)
    return {"model": model, "run": context.run, "snapshot": snapshot.number}


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


def evaluate(model: str, run: str) -> dict[str, Any]:
    """Score candidate, base and champion on the same held-out rows, answers included."""
    context = open_context(model, run)
    made = _training(context)
    with timed(context, "evaluate") as figures:
        with hold_cards(context.ledger, run):
            champion, general = champion_of(context), _own_general(context, made)
            subjects = {"candidate": made, "base": made} | ({"champion": champion} if champion else {})
            evidence = judging(context, made, champion)
            holdout = evidence.rows
            note_use(context, holdout)
            reports: dict[str, dict[str, EvalReport]] = {}
            rows, steps = max(1, len(holdout)), len(subjects) + 1  # of which the last is to probe
            for done, (subject, training) in enumerate(subjects.items()):

                def tell(share: float, before: int = done) -> None:
                    context.advance("evaluate", int((before + share) * rows), steps * rows)

                reports[subject] = _score(context, subject, training, holdout, general, tell)
            write_reports(context, reports)  # a judge that fails takes no scores with it
            probed = probe(context, made, reports["candidate"]["holdout"], holdout)
            context.advance("evaluate", steps * rows, steps * rows)
        judged = judge_answers(context, reports, holdout)  # by a server, which may want the card
        write_reports(context, reports)
        notes = {subject: _means(by) for subject, by in reports.items()} | {"probes": probed} | judged
        notes |= {"general_rows": len(reports["candidate"]["general"].example_ids), "slices": _slices(reports)}
        left_out = evidence.left_out
        rows_in = len(holdout) + sum(left_out.values())
        figures.update(rows_in=rows_in, rows_out=len(holdout), rejected=left_out, notes=notes)
    return {"model": model, "run": run, "rows": len(holdout)}


def judge(model: str, run: str) -> dict[str, Any] | None:
    """Hold the candidate against every gate and record every row; None when it is refused."""
    from sovereign_tasks.evaluate import gates
    from sovereign_tasks.evaluate.slices import table_of
    from sovereign_tasks.train import tracking
    from sovereign_tasks.train.due import is_due

    context = open_context(model, run)
    made, reports = _training(context), read_reports(context)
    with timed(context, "gate") as figures:
        met = noted_champion(context)
        taint = known_taint(context, met) if met else None
        must_go = taint is not None and is_due(taint, context.config.retrain)
        subjects = (reports["candidate"], reports["base"], reports.get("champion"))
        needed = context.config.evidence.min_groups
        margin = context.config.erasure.margin if must_go else None
        asked = [*context.config.gates, *gates_of(context.config)]
        rows = gates.judge(asked, *subjects, min_groups=needed, champion_margin=margin)
        rows += probe_rows(context)
        if taint := note_taint(context, made):
            rows.append(gates.refuse_tainted(taint.rows))
        if context.ledger.taints(model):
            forget_findings(context, [])  # what tainted models said may have been written since the erasure
        passed = gates.passed(rows)
        means = {f"eval/{metric}": value for metric, value in _means(reports["candidate"]).items()}
        numbers = {made.snapshot, *(earlier.snapshot for earlier in context.ledger.ancestors(made))}
        learned = [of_snapshot(context, number) for number in sorted(numbers)]
        tags = {
            "snapshot": str(made.snapshot),
            "adapter_hash": made.adapter_hash,
            "base_hash": made.base_hash,
            "config_hash": made.config_hash,
            **terms_learned(learned, of_base(context, made.base, made.base_hash)),
        }
        version = tracking.register(made.run_id, model, Path(made.adapter), metrics=means, tags=tags)
        context.ledger.record_gates(run, GateDecision(model, made.run_id, version, rows, passed))
        tracking.log_scores(made.run_id, table_of(reports), _slices(reports))
        tracking.log_files(made.run_id, {"probes.json": probe_summary(context)})
        tracking.log_gates(made.run_id, model, version, rows, passed=passed)
        keep_report(context, made, version, rows, reports, passed=passed)
        describe(context, [made.run_id])
        tracking.end_run(made.run_id)
        refused = {row.gate: 1 for row in failed(rows)}
        figures.update(rows_in=len(rows), rows_out=len(rows) - len(refused), rejected=refused)
        drop_old_weights(context)
    return {"model": model, "run": run, "version": version} if passed else None


def promote(model: str, run: str) -> dict[str, Any]:
    """Make the candidate the champion."""
    context = open_context(model, run)
    made = _training(context)
    verdict = context.ledger.decisions(model, "gate", run)[0]
    if verdict["outcome"] != "passed":
        raise UserError(f"{model}: run {run} did not pass its gates, so it can't be promoted.")
    if taint_of(context, made):
        raise UserError(f"{model}: run {run} {_TAINTED}, so it can't be promoted; the next training is without them.")
    by = check_approved(context)
    version = verdict["detail"]["version"]
    candidate = [dataset(model, "adapter", version=made.adapter_hash)]
    with told(model, "promote", run, candidate) as outputs, timed(context, "promote"):
        proved = f"every gate passed, approved by {by}" if by else "every gate passed"
        before = make_champion(context, made, version, by, proved=proved)
        describe(context)
        drop_tainted(context)
        drop_old_weights(context)
        outputs.append(dataset(model, "champion", version=str(version)))
    return {"model": model, "version": version, "previous": before}


# --- the parts of a training ---


def _own_general(context: Context, made: TrainingRun) -> list[Example]:
    """The owner's chats that measure what is forgotten, if there are any; those that the candidate has room for."""
    from sovereign_tasks.causal_lm import load_tokenizer
    from sovereign_tasks.evaluate.score import fitting

    own, training = read_replay(context.config), context.config.training
    if own is None:
        return []
    return fitting(own.regression, load_tokenizer(Path(made.base)), training.system_prompt, training.max_length)


def _score(
    context: Context,
    subject: str,
    training: TrainingRun,
    holdout: list[Example],
    own: list[Example],
    tell: Callable[[float], None],
) -> dict[str, EvalReport]:
    from sovereign_tasks.causal_lm import load_base_of, load_with_adapter
    from sovereign_tasks.evaluate.score import score, score_general

    load = load_base_of if subject == "base" else load_with_adapter
    model, tokenizer = load(Path(training.base), Path(training.adapter))
    prompt = context.config.training.system_prompt

    def progress(what: str, at: int, of: int) -> None:
        begin, part = {"nll": (0.0, 0.2), "question_gain": (0.2, 0.2), "answers": (0.4, 0.5)}[what]
        tell(begin + part * at / max(1, of))

    held = score(model, tokenizer, holdout, prompt, subject=subject, generations=True, progress=progress)
    general = score_general(model, tokenizer, prompt, subject=subject, own=own)
    held = with_slices(context, held, holdout)
    tasks = ask_tasks(context.config, model, tokenizer, subject)
    return {held.dataset: held, general.dataset: general} | tasks


def _means(reports: dict[str, EvalReport]) -> dict[str, float]:
    own = (report for name, report in reports.items() if name != JUDGE)  # whose figures are of two models
    means = {metric: report.mean(metric) for report in own for metric in report.scores}
    return {metric: round(mean, 4) for metric, mean in means.items() if math.isfinite(mean)}


def _slices(reports: dict[str, dict[str, EvalReport]]) -> dict[str, dict[str, dict[str, float]]]:
    """The candidate's means by kind, label and source, and by skill."""
    from sovereign_tasks.evaluate.slices import skill_means, slice_means

    ours = reports["candidate"]
    return slice_means(ours["holdout"]) | skill_means(ours["general"], reports["base"]["general"])


def _training(context: Context) -> TrainingRun:
    """What this run trained."""
    training = context.ledger.training(context.model, context.run)
    if training is None:
        raise UserError(f"{context.model}: run {context.run} has trained nothing yet.")
    return training
