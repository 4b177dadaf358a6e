"""Watching a DAG run: its tasks from Airflow, their rows and progress from the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sovereign_tasks.ledger import Ledger
from sovereign_tasks.platform import AirflowClient
from sovereign_tasks.records import StageReport
from sovereign_tasks.terminal.stages import Reasons, position

PAUSED = "up_for_reschedule"
"""The state of a task that waits for its hours."""
ASKS = "awaiting_input"
"""The state of a task that waits for a person's answer."""
DONE = {"success", "failed", "skipped", "upstream_failed", "removed"}
MARKS = {
    "success": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
    "upstream_failed": ("–", "dim"),
    "up_for_retry": ("↻", "yellow"),
    PAUSED: ("◷", "yellow"),
}
POLL_SECONDS = 0.5
TELL_SECONDS = 30.0
"""Where nothing can be drawn over, as in a log, what is running is said this often."""


@dataclass(frozen=True)
class Step:
    """One task instance as Airflow has it, named as the ledger names its stage."""

    stage: str
    state: str
    seconds: float | None
    """From the start of the task's process to its end, or to now."""


@dataclass(frozen=True)
class Outcome:
    """How a followed run ended; `reason` is set when it failed or waits for another try."""

    state: str
    steps: list[Step]
    seconds: float
    reason: str = ""


def follow(
    client: AirflowClient,
    ledger: Ledger,
    console: Console,
    *,
    model: str,
    dag_id: str,
    run_id: str,
    run: str,
    check: Callable[[], None],
) -> Outcome:
    """Show a DAG run until it ends, or until one of its tasks waits for another try or for its hours.

    `run` is its key in the ledger; `check` is called at every look, to notice a platform that died.
    """
    started = time.monotonic()
    spoken, told, asked = started, set[str](), set[str]()
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            check()
            state = client.dag_run(dag_id, run_id)["state"]
            steps = read_steps(client, dag_id, run_id)
            reports = {r.stage: r for r in ledger.reports(model, run)}
            failures = ledger.failures(model, run)
            for step in steps:
                if step.state in DONE and step.stage not in told and step.state != "upstream_failed":
                    told.add(step.stage)
                    report = reports.get(step.stage)
                    console.print(_line(step, report, failures.get(step.stage, "")))
                    if report and "failed" in report.notes:  # of what the loop goes on without
                        console.print(f"    {escape(report.notes['failed'])}", style="dim", soft_wrap=True)
                elif step.state == ASKS and step.stage not in asked:
                    asked.add(step.stage)
                    where = f"{client.base_url}/dags/{dag_id}/runs/{quote(run_id)}/tasks/{step.stage}/required_actions"
                    console.print(f" ? {step.stage} waits for your answer: {where}", soft_wrap=True, markup=False)
            progress = ledger.progress(model, run)
            live.update(_running(steps, progress))
            if not console.is_terminal and time.monotonic() - spoken >= TELL_SECONDS:
                spoken = time.monotonic()
                for step in steps:
                    if step.state == "running":
                        console.print(f" … {escape(_standing(step, progress))}", soft_wrap=True)
            # Airflow also postpones a task whose DAG a worker can't read yet, without a word of ours.
            paused = [s.state for s in steps if s.state == PAUSED and s.stage in failures]
            waiting = [s.state for s in steps if s.state == "up_for_retry"] or paused
            if waiting:
                state = waiting[0]
            if state in ("success", "failed", *waiting):
                break
            time.sleep(POLL_SECONDS)
    reason = ""
    if state != "success":
        reason = " ".join(dict.fromkeys(ledger.failures(model, run).values())) or _failed(steps)
    return Outcome(state, steps, time.monotonic() - started, reason)


def read_steps(client: AirflowClient, dag_id: str, run_id: str) -> list[Step]:
    """The run's tasks in the order of the loop; mapped ones by their source, once Airflow knows that."""
    steps = []
    for task in client.task_instances(dag_id, run_id):
        source = task.get("rendered_map_index")
        known = source and task["map_index"] >= 0 and source != str(task["map_index"])
        stage = f"{task['task_id']}:{source}" if known else task["task_id"]
        steps.append(Step(stage, task["state"] or "waiting", _seconds(task)))
    return sorted(steps, key=lambda step: position(step.stage))


def _line(step: Step, report: StageReport | None, failure: str = "") -> Table:
    # A source that fails leaves its task a success, since the night goes on without it.
    passed_over = report is not None and "failed" in report.notes
    mark, style = MARKS.get("failed" if failure else "skipped" if passed_over else step.state, ("·", "dim"))
    seconds = f"{step.seconds:.1f} s" if step.seconds is not None else ""
    rows = f"{report.rows_in:,} in, {report.rows_out:,} out" if report and (report.rows_in or report.rows_out) else ""
    if step.state == "skipped" or passed_over:
        rows = "passed over" if passed_over else "skipped"
    line = Table.grid(padding=(0, 1))
    line.add_column(width=2, justify="right")
    line.add_column(width=18)
    line.add_column(width=8, justify="right")
    line.add_column(min_width=21)
    line.add_column()
    if failure and step.state == "success":
        rows = "failed, as said below"
    cells = [Text(mark, style), Text(step.stage, "bold"), Text(seconds, "dim"), Text(f" {rows}")]
    line.add_row(*cells, Reasons(report.rejected if report else {}))
    return line


def _standing(step: Step, progress: dict[str, tuple[int, int]]) -> str:
    done, total = _progress_of(step, progress)
    parts = [step.stage, f"{done}/{total}" if total else "", f"{step.seconds or 0:.0f} s"]
    return " ".join(part for part in parts if part)


def _progress_of(step: Step, progress: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """How far a step is; Airflow says which of several mapped ones it is only at its end."""
    below = [(at, of) for stage, (at, of) in progress.items() if stage.startswith(f"{step.stage}:") and at < of]
    return progress.get(step.stage) or (below[0] if len(below) == 1 else (0, 0))


def _running(steps: list[Step], progress: dict[str, tuple[int, int]]) -> Group:
    table = Table.grid(padding=(0, 1))
    for step in steps:
        if step.state not in ("running", "queued", "scheduled", ASKS):
            continue
        done, total = _progress_of(step, progress)
        bar = ProgressBar(total=total, completed=done, width=24) if total and step.state == "running" else Text("")
        count = f"{done}/{total}" if total else step.state
        seconds = f"{step.seconds:.0f} s" if step.seconds is not None else ""
        mark = Spinner("dots", style="cyan") if step.state == "running" else Text("·", "dim")
        table.add_row(Text(" "), mark, Text(step.stage, "bold"), bar, Text(count, "dim"), Text(seconds, "dim"))
    return Group(table)


def _seconds(task: dict[str, Any]) -> float | None:
    if not task.get("start_date"):
        return None
    started = datetime.fromisoformat(task["start_date"])
    ended = datetime.fromisoformat(task["end_date"]) if task.get("end_date") else datetime.now(UTC)
    return max(0.0, (ended - started).total_seconds())


def _failed(steps: list[Step]) -> str:
    names = [s.stage for s in steps if s.state in ("failed", "up_for_retry", PAUSED)]
    return f"{', '.join(names) or 'the run'} failed; its log is in the Airflow UI"
