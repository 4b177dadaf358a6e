"""What is told of a judged version where people look: its page of gates, and the descriptions in MLflow.

A version's story is its data and base, where it began, how its gates went and what became of it since. It is read off
the ledger each time, so that telling it again after a promotion, a rollback or an erasure tells what is so then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sovereign_tasks import gate_words
from sovereign_tasks.ledger import ROLLED_BACK
from sovereign_tasks.records import EvalReport, GateRow, TrainingRun
from sovereign_tasks.stages.context import Context, open_context
from sovereign_tasks.stages.held_out import most_used
from sovereign_tasks.stages.lineage import VersionLineage, judgements, of_version
from sovereign_tasks.stages.remarks import tell_edge_cases
from sovereign_tasks.stages.taints import known_taint


def keep_report(
    context: Context,
    made: TrainingRun,
    version: str,
    rows: Sequence[GateRow],
    reports: Mapping[str, Mapping[str, EvalReport]],
    *,
    passed: bool,
) -> None:
    """Put the page that says why a version passed or was refused beside its run, and note where that is."""
    from sovereign_tasks.evaluate.report import NAME, Judged, render
    from sovereign_tasks.train import tracking

    facts = _facts(context, of_version(context, version), made)
    needed = context.config.evidence.min_groups
    page = render(Judged(context.model, version, rows, passed, reports, facts, needed))
    tracking.log_files(made.run_id, {NAME: page})
    where = {"experiment": tracking.experiment_of(made.run_id), "run_id": made.run_id, "file": NAME}
    context.ledger.decide(context.model, "report", context.run, "kept", "", **where)


def describe(context: Context, run_ids: Iterable[str] = ()) -> None:
    """Tell in MLflow of the model, of the champion and the one before it, and of the versions of these runs."""
    from sovereign_tasks.train import registry

    model, moves, known = context.model, context.ledger.moves(context.model), judgements(context)
    if not known:
        return
    trainings = {made.run_id: made for _, made in context.ledger.trainings(model)}
    for run_id in dict.fromkeys([*run_ids, *(move["detail"]["run_id"] for move in moves[:2])]):
        if run_id in known and run_id in trainings:  # the base itself, as a version, met no gates
            lineage = of_version(context, known[run_id].version)
            text = _version_text(context, lineage, trainings[run_id], known[run_id].run)
            registry.describe_version(model, known[run_id].version, run_id, text)
    registry.describe_model(model, _model_text(context))


def report_url(model: str, run: str) -> str:
    """The address in MLflow's UI of a judged run's page of gates."""
    from sovereign_tasks.train import tracking

    where = open_context(model, run).ledger.decisions(model, "report", run)[0]["detail"]
    return f"{tracking.run_url(where['run_id'])}/artifacts/{where['file']}"


def _facts(context: Context, lineage: VersionLineage, made: TrainingRun) -> dict[str, str]:
    """What a version was made from, by what each is called."""
    snapshot, base = lineage.snapshot, lineage.base
    learned: Counter[str] = Counter()
    for origin in snapshot.origins:
        learned[origin.source] += origin.rows.get("train", 0)
    terms = {name: sorted({getattr(o, name) for o in snapshot.origins}) for name in ("licence", "consent")}
    known = judgements(context)
    run = known[made.run_id].run
    facts = {
        "Data": f"snapshot {snapshot.number}: " + ", ".join(f"{n} {split}" for split, n in snapshot.rows.items()),
        "Learned from": ", ".join(f"{source} ({n} rows)" for source, n in learned.most_common() if n),
        "Licences": ", ".join(terms["licence"]),
        "Consent": ", ".join(terms["consent"]),
        "Everyday examples beside it": str(lineage.replayed) if lineage.replayed else "",
        "Base": f"{base.name}, {_short(base.base_hash)}"
        + (f", made here from snapshot {base.snapshot}" if base.snapshot is not None else ""),
        "Began with": ", then ".join(f"version {t.version or '–'}" for t in lineage.started_from) or "the base",
        "Trained": f"{lineage.trained_at:%Y-%m-%d %H:%M} UTC" + (f", on {made.hardware}" if made.hardware else ""),
        "Settings": _short(made.config_hash),
        "Weights": _short(made.adapter_hash),
        "Judged so far": f"{_versions(len(known))} of {context.model}",
    }
    noted = context.ledger.decisions(context.model, "champion", run)
    if noted and (champion := known.get(noted[0]["detail"]["run_id"])):
        facts["Champion then"] = f"version {champion.version}"
    if used := most_used(context, run):
        most = context.config.evidence.max_uses
        facts["Held-out questions"] = f"have judged up to {_versions(used)}; after {most} they retire"
    facts["Edge cases"] = tell_edge_cases(context.ledger, context.model, run)
    if taint := known_taint(context, made):
        facts["Erased since"] = f"{taint.rows} rows that it has learned from"
    return {name: fact for name, fact in facts.items() if fact}


def _version_text(context: Context, lineage: VersionLineage, made: TrainingRun, run: str) -> str:
    from sovereign_tasks.train.tracking import gate_table, plain

    rows = context.ledger.gate_rows(context.model, run)
    passed = context.ledger.decisions(context.model, "gate", run)[0]["outcome"] == "passed"
    needed = context.config.evidence.min_groups
    _, title, because = gate_words.conclude(lineage.version or "", rows, passed=passed, needed=needed)
    since = [
        f"- {move['at']:%Y-%m-%d %H:%M} UTC: {plain(_moved(move))}"
        for move in reversed(context.ledger.moves(context.model))
        if lineage.version in (move["detail"]["version"], move["detail"].get("took_over_from"))
    ]
    facts = _facts(context, lineage, made)
    parts = [
        f"{gate_words.capital(lineage.verdict)}. {plain(title)}",
        "\n".join(f"- {plain(why)}" for why in because),
        "\n".join(["**Since then**", "", *since]) if since else "",
        "\n".join(["**Made from**", "", *(f"- {name}: {plain(fact)}" for name, fact in facts.items())]),
        f"**Gates**, in pictures in report.html among the run's artifacts\n\n{gate_table(rows)}" if rows else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _moved(move: Mapping[str, Any]) -> str:
    """What a move did, by whom and why."""
    detail = move["detail"]
    back = f"rolled back from version {detail.get('took_over_from')} to version {detail['version']}"
    what = back if move["outcome"] == ROLLED_BACK else f"version {detail['version']} promoted"
    by = f" by {detail['by']}" if detail.get("by") else ""
    return f"{what}{by}: {move['reason']}"


def _model_text(context: Context) -> str:
    from sovereign_tasks.train.tracking import plain

    moves, known = context.ledger.moves(context.model), judgements(context)
    counts = Counter(judged.verdict for judged in known.values())
    champion = "There is no champion yet."
    if moves:
        since = f"since {moves[0]['at']:%Y-%m-%d}: {plain(_moved(moves[0]))}"
        champion = f"**Version {moves[0]['detail']['version']} is the champion** {since}."
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return "\n\n".join(
        [
            plain(context.config.description),
            champion,
            f"Judged so far: {_versions(len(known))}, {told}.",
            "The alias `champion` is on the version that answers, `previous` on the one before it, and `challenger` on "
            "the one that was judged last. A version's page says what it learned from and how its gates went; "
            "`report.html` among its run's artifacts shows it in pictures.",
        ]
    )


def _versions(count: int) -> str:
    return "1 version" if count == 1 else f"{count} versions"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
