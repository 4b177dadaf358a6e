"""From a due snapshot to a judged version: preflight -> base -> train -> evaluate -> gate -> promote.

A run's files (adapter, reports) lie below its key; what it decided is in the ledger. Every stage may run again
and gives the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from sovereign_tasks import __version__
from sovereign_tasks.config import PROJECT, ModelConfig, config_hash
from sovereign_tasks.dataset import snapshot as versions
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import EvalReport, Example, GateDecision, Snapshot, TrainingRun
from sovereign_tasks.stages.context import Context, among, live_documents, open_context, run_key, timed
from sovereign_tasks.store import model_folder, newest_rows

SCRATCH = "scratch"


def preflight(model: str, run_id: str, number: int | None, by_hand: bool) -> dict[str, Any] | None:
    """Verify the snapshot and the base before a GPU is taken; None when this snapshot needs no training.

    `number` is the snapshot asked for by hand, or None for the newest. Events can come twice or late, so the ledger
    decides: a snapshot that was trained on already is not trained on again unless by hand.
    """
    from sovereign_tasks.train.due import NOTHING_HELD_OUT

    context = open_context(model, run_key("retrain", model, run_id))
    with timed(context, "preflight") as figures:
        check_base(context.config)
        snapshots = context.ledger.snapshots(model)
        if not snapshots:
            raise UserError(f"{model} has no snapshot to train on; run its build first.")
        snapshot = context.ledger.snapshot(model, number) if number else snapshots[-1]
        trained = {t.snapshot for _, t in context.ledger.trainings(model)}
        if snapshot.number in trained and not by_hand:
            reason = f"snapshot {snapshot.number} was trained on already"
            context.ledger.decide(model, "preflight", context.run, "skipped", reason)
            return None
        splits = verify(context, snapshot)
        if not splits["holdout"]:
            raise UserError(f"{model} snapshot {snapshot.number} can't be trained on: {NOTHING_HELD_OUT}.")
        rows = sum(len(examples) for examples in splits.values())
        figures.update(rows_in=rows, rows_out=rows, notes={"snapshot": snapshot.number})
    return {"model": model, "run": context.run, "snapshot": snapshot.number}


def verify(context: Context, snapshot: Snapshot) -> dict[str, list[Example]]:
    """The snapshot's examples by split, after re-hashing every row against what was published."""
    builds = context.ledger.builds(context.model, until_snapshot=snapshot.number)
    state = newest_rows(context.store.read("membership", builds), "example_id")
    if versions.content_hash(state) != snapshot.content_hash:
        raise UserError(f"{context.model} snapshot {snapshot.number}: its list of rows is not what was published.")
    examples = Example.from_table(context.store.read("examples", builds))
    faults = versions.find_faults(state, examples, context.ledger.tombstones(context.model))
    if faults:
        raise UserError(
            f"{context.model} snapshot {snapshot.number}: example {faults[0]}, and {len(faults) - 1} more such rows; "
            "restore the tables from a backup or publish a new snapshot."
        )
    members = versions.by_example(versions.members(state))
    splits: dict[str, list[Example]] = {"train": [], "holdout": [], "sealed": []}
    for example in sorted(examples, key=lambda e: e.example_id):
        if example.example_id in members:
            splits[members[example.example_id].split].append(example)
    return splits


def check_base(config: ModelConfig) -> None:
    """See that the base model can be used, before anything depends on it."""
    from sovereign_tasks.causal_lm import check_folder

    if config.training.base_model != SCRATCH:
        check_folder(_base_folder(config))


def prepare_base(model: str, run: str, number: int) -> dict[str, Any]:
    """Find the base, or make the small one from scratch: once, from the snapshot's training groups only."""
    context = open_context(model, run)
    training = context.config.training
    with timed(context, "base") as figures:
        if training.base_model != SCRATCH:
            path = _base_folder(context.config)
        else:
            wanted = config_hash(training.scratch)
            path = next((Path(b["path"]) for b in context.ledger.bases(model) if b["config_hash"] == wanted), None)
            if path is None or not path.exists():
                path = _make_base(context, number, wanted, figures)
    return {"model": model, "run": run, "snapshot": number, "base": str(path)}


def train(model: str, run: str, number: int, base: str) -> dict[str, Any]:
    """Tune an adapter on the snapshot's training rows, with its curves, figures and files in MLflow."""
    from sovereign_tasks.causal_lm import base_name
    from sovereign_tasks.train import qlora, tracking
    from sovereign_tasks.train.sampling import sample

    context = open_context(model, run)
    training, snapshot = context.config.training, context.ledger.snapshot(model, number)
    splits = verify(context, snapshot)
    sampled = sample(splits["train"], _labels(context), training.sampling, training.seed)
    hashed = config_hash(training)
    with timed(context, "train") as figures, context.ledger.lease(f"train/{model}", run):
        tags = {"config_hash": hashed, "code_version": __version__, "base_hash": base_name(Path(base))}
        run_id = tracking.start_run(
            model,
            run,
            snapshot=number,
            snapshot_hash=snapshot.content_hash,
            counts=snapshot.counts,
            params=training.model_dump(mode="json") | {"sampled_out": sampled.left_out},
            tags=tags,
        )
        output = model_folder(model, "runs", run) / "adapter"
        try:
            with tracking.Curves(run_id) as curves:
                result = qlora.train(
                    sampled.examples,
                    training,
                    Path(base),
                    output,
                    validation=splits["holdout"],
                    progress=lambda step, steps, loss: context.advance("train", step, steps),
                    on_metrics=curves,
                )
        except UserError:
            tracking.end_run(run_id, ok=False)
            raise
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
            metrics=result.metrics,
        )
        context.ledger.record_training(run, made)
        figures.update(
            rows_in=len(splits["train"]),
            rows_out=result.examples,
            rejected=({"too_long": result.left_out} if result.left_out else {})
            | {f"sampled_out:{cap}": count for cap, count in sampled.left_out.items()},
            notes={"replayed": result.replayed, "steps": result.steps, "not_capped": sampled.not_capped}
            | result.metrics,
        )
    return {"model": model, "run": run, "snapshot": number, "mlflow_run": run_id, "url": tracking.run_url(run_id)}


def evaluate(model: str, run: str) -> dict[str, Any]:
    """Score candidate, base and champion on the same held-out rows, answers included."""
    context = open_context(model, run)
    made = _training(context)
    holdout = verify(context, context.ledger.snapshot(model, made.snapshot))["holdout"]
    with timed(context, "evaluate") as figures:
        subjects = {"candidate": made, "base": made, "champion": _champion(context)}
        reports: dict[str, dict[str, EvalReport]] = {}
        for subject, training in subjects.items():
            if training is not None:
                adapter = None if subject == "base" else training.adapter
                reports[subject] = _score(context, subject, Path(training.base), adapter, holdout, len(reports))
        write_reports(context, reports)
        figures.update(rows_in=len(holdout), rows_out=len(holdout), notes={s: _means(by) for s, by in reports.items()})
    return {"model": model, "run": run, "rows": len(holdout)}


def judge(model: str, run: str) -> dict[str, Any] | None:
    """Hold the candidate against every gate and record every row; None when it is refused."""
    from sovereign_tasks.evaluate import gates
    from sovereign_tasks.train import tracking

    context = open_context(model, run)
    made, reports = _training(context), read_reports(context)
    with timed(context, "gate") as figures:
        rows = gates.judge(context.config.gates, reports["candidate"], reports["base"], reports.get("champion"))
        passed = gates.passed(rows)
        means = {f"eval/{metric}": value for metric, value in _means(reports["candidate"]).items()}
        tags = {
            "snapshot": str(made.snapshot),
            "adapter_hash": made.adapter_hash,
            "base_hash": made.base_hash,
            "config_hash": made.config_hash,
        }
        version = tracking.register(made.run_id, model, Path(made.adapter), metrics=means, tags=tags)
        context.ledger.record_gates(run, GateDecision(model, made.run_id, version, rows, passed))
        tracking.log_gates(made.run_id, model, version, rows, passed=passed)
        tracking.end_run(made.run_id)
        refused = {row.gate: 1 for row in rows if not row.passed}
        figures.update(rows_in=len(rows), rows_out=len(rows) - len(refused), rejected=refused)
    return {"model": model, "run": run, "version": version} if passed else None


def promote(model: str, run: str) -> dict[str, Any]:
    """Make the candidate the champion."""
    from sovereign_tasks import promote as promotion

    context = open_context(model, run)
    made = _training(context)
    verdict = context.ledger.decisions(model, "gate", run)[0]
    if verdict["outcome"] != "passed":
        raise UserError(f"{model}: run {run} did not pass its gates, so it can't be promoted.")
    version = verdict["detail"]["version"]
    with timed(context, "promote"):
        before = promotion.promote(model, version)
        reason = f"every gate passed; took over from version {before}" if before else "every gate passed; the first"
        context.ledger.decide(
            model, "promotion", run, "promoted", reason, version=version, run_id=made.run_id, snapshot=made.snapshot
        )
    return {"model": model, "version": version, "previous": before}


# --- the parts of a training ---


def _base_folder(config: ModelConfig) -> Path:
    """The owner's base; a relative path starts at the project, wherever the task runs."""
    return PROJECT / Path(config.training.base_model).expanduser()


def _make_base(context: Context, number: int, wanted: str, figures: dict[str, Any]) -> Path:
    from sovereign_tasks.causal_lm import base_name
    from sovereign_tasks.train.pretrain import make_base

    model, training = context.model, context.config.training
    splits, builds = context.ledger.splits(model), context.ledger.builds(model, until_snapshot=number)
    documents = live_documents(context, builds, ["text", "group"]).to_pylist()
    state = newest_rows(context.store.read("membership", builds), "example_id")
    near = set(state.filter(pc.field("reason") == versions.NEAR_HOLDOUT)["example_id"].to_pylist())
    rows = context.store.read("examples", builds, ["example_id", "doc_ids"]).filter(among("example_id", near))
    told = {doc_id for doc_ids in rows["doc_ids"].to_pylist() for doc_id in doc_ids}  # what the holdout asks
    texts = [d["text"] for d in documents if splits.get(d["group"]) == "train" and d["doc_id"] not in told]
    folder = model_folder(model, "bases") / f"snapshot-{number}-{wanted}"
    report = make_base(
        texts,
        training.scratch,
        folder,
        seed=training.seed,
        snapshot=number,
        progress=lambda step, steps, loss: context.advance("base", step, steps),
    )
    context.ledger.record_base(model, base_name(folder), str(folder), wanted, number)
    figures.update(rows_in=len(documents), rows_out=len(texts), notes=report)
    figures["rejected"] = {"held_out": len(documents) - len(texts)}
    return folder


def _labels(context: Context) -> dict[str, str]:
    """Every example's label by its id, as the newest rules gave it: a label is no part of a snapshot."""
    builds = context.ledger.builds(context.model)
    events = newest_rows(context.store.read("membership", builds, ["example_id", "label"]), "example_id")
    return dict(zip(events["example_id"].to_pylist(), events["label"].to_pylist(), strict=True))


def _score(
    context: Context, subject: str, base: Path, adapter: str | None, holdout: list[Example], done: int
) -> dict[str, EvalReport]:
    from sovereign_tasks.causal_lm import load_base, load_with_adapter
    from sovereign_tasks.evaluate.score import score, score_general

    model, tokenizer = load_with_adapter(base, Path(adapter)) if adapter else load_base(base)
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


def _reports_path(context: Context) -> Path:
    return model_folder(context.model, "runs", context.run) / "evaluation.json"


def write_reports(context: Context, reports: dict[str, dict[str, EvalReport]]) -> None:
    """Keep a run's scores by subject and dataset, whole or not at all."""
    path = _reports_path(context)
    plain = {subject: {name: asdict(r) for name, r in by.items()} for subject, by in reports.items()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "reports": plain}), encoding="utf-8")
    part.rename(path)


def read_reports(context: Context) -> dict[str, dict[str, EvalReport]]:
    """A run's scores by subject (candidate, base, champion) and dataset (holdout, general)."""
    plain = json.loads(_reports_path(context).read_text(encoding="utf-8"))["reports"]
    return {subject: {name: EvalReport(**r) for name, r in by.items()} for subject, by in plain.items()}
