"""`up` and `run`: the platform with its demonstration site, one night, and the training it makes due."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import PROJECT, ModelConfig, load_platform, model_files
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.platform import AirflowClient, Platform, Service, default_state, find_running
from sovereign_tasks.platform.credentials import load_credentials
from sovereign_tasks.platform.ports import HOST, choose_port
from sovereign_tasks.stages.context import run_key
from sovereign_tasks.terminal.follow import Outcome, follow
from sovereign_tasks.terminal.summary import print_build, print_champion, print_retrain

DEMO_PORT = 8321
PARSE_SECONDS = 120.0
ASSET_SECONDS = 60.0


class Session:
    """A platform to talk to: one that this process started, or one that already runs here."""

    def __init__(self, platform: Platform | None, client: AirflowClient, mlflow_url: str, password: str) -> None:
        self.platform, self.client, self.mlflow_url, self.password = platform, client, mlflow_url, password

    def check(self) -> None:
        """Look after the platform, where it is ours."""
        if self.platform:
            self.platform.check()


def start_platform(
    stack: ExitStack, console: Console, airflow_port: int | None, mlflow_port: int | None, day: int
) -> Session:
    """Start everything on loopback, and say how each part comes up."""
    state, settings = default_state(PROJECT), load_platform()
    started = time.monotonic()
    services = [_demo(state, day)] if _wants_demo() else []

    def tell(name: str, what: str) -> None:
        if what in ("healthy", "restarting"):
            console.print(f" [dim]{time.monotonic() - started:5.1f} s[/] {name} {what}")
        elif name == "leftovers":
            console.print(" ended what a killed platform had left running")

    console.print(f"[bold]Starting[/] Airflow and MLflow on {HOST}, state in {state}")
    platform = stack.enter_context(
        Platform(
            state,
            PROJECT,
            services=services,
            airflow_port=airflow_port,
            mlflow_port=mlflow_port,
            timezone=settings.timezone,
            gpu_slots=settings.gpu_slots,
            network_slots=settings.network_slots,
            on_event=tell,
        )
    )
    return Session(platform, platform.client, platform.mlflow_url, platform.admin_password)


def find_platform() -> Session:
    """The platform that runs on this state folder, or a UserError saying how to start one."""
    state = default_state(PROJECT)
    card = find_running(state)
    if not card:
        raise UserError(f"No platform runs on {state}; start one with `make run`, or add --up.")
    password = load_credentials(state).admin_password
    return Session(None, AirflowClient(card["airflow"], password), card["mlflow"], password)


def open_installation() -> Ledger:
    """The ledger of the state folder, with the environment that everything in it needs."""
    state = default_state(PROJECT)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["SOVEREIGN_STATE"] = str(state)
    os.environ.setdefault("SOVEREIGN_KEY", load_credentials(state).installation_key)
    return open_ledger(state)


def run_loop(console: Console, session: Session, config: ModelConfig) -> int:
    """One night and, if it is due, one training; returns the exit code."""
    ledger, client, model = open_installation(), session.client, config.model
    _await_dags(session, model)
    before = {r["dag_run_id"] for r in client.runs(f"{model}_retrain")}
    console.print(f"\n[bold]Night[/] of {model}")
    run_id = client.trigger(f"{model}_build")
    build_id = run_key("build", model, run_id)
    night = _follow(console, session, ledger, model, f"{model}_build", run_id, build_id)
    if night.state != "success":
        return _give_up(console, night)
    decision = ledger.decisions(model, "retrain", build_id)[0]
    retrained = None
    if decision["outcome"] == "due":
        console.print(f"\n[bold]Training[/]: {escape(decision['reason'])}")
        run_id = _await_retrain(session, model, before)
        retrained = run_key("retrain", model, run_id)
        training = _follow(console, session, ledger, model, f"{model}_retrain", run_id, retrained)
        if training.state != "success":
            return _give_up(console, training)
    console.print()
    print_build(console, ledger, model, build_id)
    if retrained:
        print_retrain(console, ledger, model, retrained)
    print_champion(console, ledger, model)
    print_addresses(console, session)
    return 0


def print_addresses(console: Console, session: Session) -> None:
    """Where to look, and how to log in."""
    console.print(f"  Airflow    {session.client.base_url}  login admin, password {session.password}", soft_wrap=True)
    console.print(f"  MLflow     {session.mlflow_url}", soft_wrap=True)


def _follow(
    console: Console, session: Session, ledger: Ledger, model: str, dag_id: str, run_id: str, run: str
) -> Outcome:
    return follow(
        session.client,
        ledger,
        console,
        model=model,
        dag_id=dag_id,
        run_id=run_id,
        run=run,
        check=session.check,
    )


def _give_up(console: Console, outcome: Outcome) -> int:
    later = " Airflow tries again in five minutes." if outcome.state == "up_for_retry" else ""
    console.print(f"\n[red]Stopped:[/] {escape(outcome.reason)}{later}", soft_wrap=True)
    return 2


def _await_dags(session: Session, model: str) -> None:
    """Wait until Airflow has parsed the model's DAGs; its import error is ours."""
    until = time.monotonic() + PARSE_SECONDS
    wanted = [f"{model}_build", f"{model}_retrain"]
    while True:
        session.check()
        known: list[dict[str, Any] | None] = [session.client.dag(dag_id) for dag_id in wanted]
        if all(known):
            break
        errors = [e for e in session.client.import_errors() if Path(e["filename"]).stem == model]
        if errors:
            raise UserError(errors[0]["stack_trace"].strip())
        if time.monotonic() > until:
            raise UserError(f"Airflow has not parsed the DAGs of {model}; see logs/dag-processor.log in the state.")
        time.sleep(0.25)
    for dag_id, dag in zip(wanted, known, strict=True):
        if dag and dag["is_paused"]:
            session.client.unpause(dag_id)


def _await_retrain(session: Session, model: str, before: set[str]) -> str:
    """The run that the snapshot's asset event starts."""
    until = time.monotonic() + ASSET_SECONDS
    while time.monotonic() < until:
        session.check()
        fresh = [r["dag_run_id"] for r in session.client.runs(f"{model}_retrain") if r["dag_run_id"] not in before]
        if fresh:
            return fresh[0]
        time.sleep(0.25)
    raise UserError(f"Airflow did not start {model}_retrain on the snapshot's event; see the scheduler's log.")


def _wants_demo() -> bool:
    return any("SOVEREIGN_DEMO" in path.read_text(encoding="utf-8") for path in model_files())


def _demo(state: Path, day: int) -> Service:
    """The bundled site, forum and documents; sources find them through the environment."""
    port = choose_port(DEMO_PORT, set())
    documents = state / "demo" / "documents"
    os.environ["SOVEREIGN_DEMO"] = f"{HOST}:{port}"
    os.environ["SOVEREIGN_DEMO_DOCUMENTS"] = str(documents)
    argv = (sys.executable, "-m", "sovereign_tasks.demo", "--port", str(port), "--day", str(day))
    argv += ("--documents", str(documents), "--log", str(state / "logs" / "demo-access.log"))
    return Service("demo", argv, health=f"http://{HOST}:{port}/healthz")
