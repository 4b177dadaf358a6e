"""The first page: per model file the last night's funnel, the way to the next retrain, and the champion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sovereign_tasks import gate_words
from sovereign_tasks.config import ModelConfig, load_file, load_platform, model_files
from sovereign_tasks.errors import UserError
from sovereign_tasks.gate_words import METRICS
from sovereign_tasks.ledger import ROLLED_BACK, Ledger, open_ledger
from sovereign_tasks.records import GateRow, Snapshot, StageReport, TrainingRun
from sovereign_tasks.stages.accept import stopped_night
from sovereign_tasks.stages.must_go import read_must_go
from sovereign_tasks.stages.remarks import remarks, tell_edge_cases
from sovereign_tasks.store import state_folder
from sovereign_ui import mlflow_ui

STAGES = ("collect", "curate", "deduplicate", "examples", "validate", "publish")
COUNTED = {
    "deduplicate": "documents",
    "examples": "documents in, examples out",
    "validate": "documents and examples",
    "publish": "examples joined or left",
}


@dataclass(frozen=True)
class Stage:
    """One row of the funnel; `came` and `kept` are percentages of the night's largest count.

    `of` is the source of a stage that runs once for each, else what its rows are.
    """

    name: str
    of: str
    rows_in: int
    rows_out: int
    rejected: list[tuple[str, int]]
    seconds: float
    notes: dict[str, int]
    came: float
    kept: float


@dataclass(frozen=True)
class Night:
    """The newest committed build; `fresh` says whether it published the snapshot."""

    build_id: str
    at: datetime | None
    stages: list[Stage]
    snapshot: Snapshot | None
    fresh: bool
    data_docs: str
    remarks: list[str]

    @property
    def rejected(self) -> int:
        """Rows that any stage dropped."""
        return sum(n for stage in self.stages for _, n in stage.rejected)

    @property
    def seconds(self) -> float:
        """Work of all stages together."""
        return sum(stage.seconds for stage in self.stages)


@dataclass(frozen=True)
class Retrain:
    """The newest decision whether to train; the figures are None where there was nothing to count.

    `learned` is the snapshot that it was about, once a training has taken it up: nothing is new since.
    """

    due: bool
    learned: int | None
    reason: str
    at: datetime
    new_examples: int | None
    needed: int | None


@dataclass(frozen=True)
class Gate:
    """A gate row and where its interval lies in a picture of 100 by 16: all positions in percent."""

    row: GateRow
    label: str
    asked: str
    verdict: str
    low: float | None
    high: float | None
    middle: float | None
    bound: float | None


@dataclass(frozen=True)
class Version:
    """A registered version, how its gates went, what became of it and what it was trained on."""

    number: str
    run_id: str
    reason: str
    passed: bool
    standing: str
    at: datetime
    gates: list[Gate]
    training: TrainingRun | None
    url: str | None
    run_url: str | None
    report_url: str | None
    edge_cases: str


@dataclass(frozen=True)
class Model:
    """All that the page shows of one model, or in `error` why it can't; `stopped` is of a night that waits.

    `must_go` is of a champion that has learned from what was erased.
    """

    name: str
    error: str = ""
    stopped: str = ""
    must_go: str = ""
    config: ModelConfig | None = None
    night: Night | None = None
    retrain: Retrain | None = None
    champion: Version | None = None
    candidate: Version | None = None
    url: str | None = None


@dataclass(frozen=True)
class Overview:
    """The page: its models by file, the timezone of its times, and what is wrong with the platform's settings."""

    models: list[Model] = field(default_factory=list)
    zone: ZoneInfo | None = None
    error: str = ""


def read() -> Overview:
    """Read every model file and what the ledger knows of it; what can't be read is said in its place."""
    try:
        zone, error = load_platform().zone(), ""
    except UserError as e:
        zone, error = None, str(e)
    files = model_files()
    try:
        with _ledger() as ledger:
            return Overview([_model(path, ledger) for path in files], zone, error)
    except UserError as e:
        return Overview([], zone, str(e))


@contextmanager
def _ledger() -> Iterator[Ledger]:
    ledger = open_ledger(state_folder())
    try:
        yield ledger
    finally:
        ledger.engine.dispose()


def _model(path: Path, ledger: Ledger) -> Model:
    try:
        config = load_file(path)
    except UserError as e:
        return Model(path.stem, error=str(e))
    model = config.model
    champion = read_champion(ledger, model)
    return Model(
        name=model,
        config=config,
        stopped=stopped_night(ledger, model),
        must_go=read_must_go(ledger, config),
        night=read_night(ledger, model),
        retrain=read_retrain(ledger, model),
        champion=champion,
        candidate=read_candidate(ledger, model, champion),
        url=mlflow_ui.model_url(model),
    )


def read_night(ledger: Ledger, model: str) -> Night | None:
    """The newest committed build with its stages in the pipeline's order; None before the first."""
    builds = ledger.builds(model)
    if not builds:
        return None
    build_id, snapshots = builds[-1], ledger.snapshots(model)
    reports = sorted(ledger.reports(model, build_id), key=_position)
    largest = max((n for r in reports for n in (r.rows_in, r.rows_out)), default=0)
    snapshot = snapshots[-1] if snapshots else None
    fresh = snapshot is not None and snapshot.build_id == build_id
    decided = ledger.decisions(model, "retrain", build_id)
    at = snapshot.created_at if snapshot and fresh else decided[0]["at"] if decided else None
    pages = [r.notes["data_docs"] for r in reports if r.notes.get("data_docs")]
    stages = [_stage(r, largest) for r in reports]
    said = [*ledger.failures(model, build_id).values(), *remarks(ledger, model, build_id)]
    return Night(build_id, at, stages, snapshot, fresh, str(pages[-1]) if pages else "", said)


def read_retrain(ledger: Ledger, model: str) -> Retrain | None:
    """The newest decision whether enough is new; None before the first."""
    decisions = ledger.decisions(model, "retrain")
    if not decisions:
        return None
    newest = decisions[0]
    detail = newest["detail"]
    due, number = newest["outcome"] == "due", detail.get("snapshot")
    learned = number if due and any(t.snapshot == number for _, t in ledger.trainings(model)) else None
    return Retrain(due, learned, newest["reason"], newest["at"], detail.get("new_examples"), detail.get("needed"))


def read_champion(ledger: Ledger, model: str) -> Version | None:
    """The version that the last move made champion; None before the first."""
    moves = ledger.moves(model)
    if not moves:
        return None
    standing, detail = "", moves[0]["detail"]
    if moves[0]["outcome"] == ROLLED_BACK:
        standing = f"rolled back to, from version {detail['took_over_from']}, by {detail['by']}: {moves[0]['reason']}"
    return _version(ledger, model, moves[0], passed=True, standing=standing)


def read_candidate(ledger: Ledger, model: str, champion: Version | None) -> Version | None:
    """The version that met the gates last, unless it is the champion."""
    judged = ledger.decisions(model, "gate")
    if not judged or (champion and judged[0]["detail"].get("version") == champion.number):
        return None
    passed = judged[0]["outcome"] == "passed"
    standing = _standing(ledger, model, judged[0]) if passed else "refused"
    return _version(ledger, model, judged[0], passed=passed, standing=standing)


def _standing(ledger: Ledger, model: str, verdict: dict[str, Any]) -> str:
    """What became of a version that passed its gates and is not the champion."""
    if any(made["detail"]["version"] == verdict["detail"]["version"] for made in ledger.moves(model)):
        return "rolled back"
    for asked in ledger.decisions(model, "approval", verdict["run"]):
        if asked["outcome"] == "rejected":
            by = f" by {asked['detail']['by']}" if asked["detail"]["by"] else ""
            return f"rejected{by}" + (f": {asked['reason']}" if asked["reason"] else "")
    return "passed but not the champion"


def _position(report: StageReport) -> tuple[int, str]:
    name = report.stage.partition(":")[0]
    return (STAGES.index(name) if name in STAGES else len(STAGES), report.stage)


def _stage(report: StageReport, largest: int) -> Stage:
    name, _, source = report.stage.partition(":")
    share = 100 / largest if largest else 0.0
    return Stage(
        name=name,
        of=source or COUNTED.get(name, ""),
        rows_in=report.rows_in,
        rows_out=report.rows_out,
        rejected=sorted(report.rejected.items(), key=lambda item: (-item[1], item[0])),
        seconds=report.seconds,
        notes={k: v for k, v in report.notes.items() if type(v) is int and v and name != "publish"},
        came=round(report.rows_in * share, 2),
        kept=round(report.rows_out * share, 2),
    )


def _version(ledger: Ledger, model: str, decision: dict[str, Any], *, passed: bool, standing: str) -> Version:
    number, run_id = str(decision["detail"].get("version", "")), str(decision["detail"].get("run_id", ""))
    runs = (d["run"] for d in ledger.decisions(model, "gate") if d["detail"].get("run_id") == run_id)
    run = next(runs, "")
    rows = ledger.gate_rows(model, run)
    kept = [d["detail"] for d in ledger.decisions(model, "report", run)] if run else []
    return Version(
        number=number,
        run_id=run_id,
        reason=decision["reason"],
        passed=passed,
        standing=standing,
        at=decision["at"],
        gates=[_gate(row, rows) for row in rows],
        training=next((t for _, t in ledger.trainings(model) if t.run_id == run_id), None),
        url=mlflow_ui.version_url(model, number),
        run_url=mlflow_ui.run_url(run_id) if run_id else None,
        report_url=mlflow_ui.file_url(**kept[0]) if kept else None,
        edge_cases=tell_edge_cases(ledger, model, run),
    )


def _gate(row: GateRow, rows: list[GateRow]) -> Gate:
    known = METRICS.get(row.metric)
    label, verdict = known.label if known and row.against else row.gate, gate_words.verdict(row, rows)
    asked = gate_words.asked(row) + (f"; one of {row.one_of} is enough" if row.one_of else "")
    measured = [row.low, row.difference, row.high]
    if not all(map(math.isfinite, measured)):
        return Gate(row, label, asked, verdict, None, None, None, None)
    first, last = min(*measured, row.threshold), max(*measured, row.threshold)
    room = (last - first) or 1.0

    def place(value: float) -> float:
        return round(6 + 88 * (value - first) / room, 2)

    return Gate(
        row, label, asked, verdict, place(row.low), place(row.high), place(row.difference), place(row.threshold)
    )
