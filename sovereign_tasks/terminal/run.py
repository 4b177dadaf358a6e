"""The platform behind the commands: starting one with its demonstration site, finding one, opening its ledger."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console

from sovereign_tasks.config import PROJECT, config_folder, load_platform, model_files
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger, open_ledger
from sovereign_tasks.platform import Platform, Service, default_state, find_running
from sovereign_tasks.platform.credentials import load_credentials, make_private
from sovereign_tasks.platform.ports import HOST, choose_port
from sovereign_tasks.terminal.patience import PatientClient

DEMO_PORT = 8321


@dataclass
class Session:
    """A platform to talk to: one that this process started, or one that already runs here."""

    platform: Platform | None
    client: PatientClient
    mlflow_url: str
    password: str

    def check(self) -> None:
        """Look after the platform, where it is ours."""
        if self.platform:
            self.platform.check()


def start_platform(
    stack: ExitStack, console: Console, airflow_port: int | None, mlflow_port: int | None, day: int
) -> Session:
    """Start everything on loopback, and say how each part comes up."""
    state, settings = default_state(PROJECT), load_platform()
    # The platform's processes start in folders of their own.
    os.environ["SOVEREIGN_CONFIG"] = str(config_folder().resolve())
    started = time.monotonic()
    services = [_demo(state, day)] if any(_wants_demo(path) for path in model_files()) else []

    def tell(name: str, what: str) -> None:
        if what in ("healthy", "restarting"):
            console.print(f" [dim]{time.monotonic() - started:5.1f} s[/] {name} {what}")
        elif name == "leftovers":
            console.print(" ended what a killed platform had left running")

    def announce_stop(kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind and issubclass(kind, KeyboardInterrupt):
            console.print("Stopping; running tasks get a few seconds. Ctrl-C again cuts them off.")

    console.print(f"[bold]Starting[/] Airflow and MLflow on {HOST}, state in {state}", soft_wrap=True)
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
    stack.push(announce_stop)
    session = _session(console, state, platform, platform.airflow_url, platform.mlflow_url)
    print_addresses(console, session)
    return session


def find_platform(console: Console) -> Session:
    """The platform that runs on this state folder, or a UserError saying how to start one."""
    state = default_state(PROJECT)
    card = find_running(state)
    if card is None:
        raise UserError(f"No platform runs on {state}; start one with `up`, or with `run MODEL --up`.")
    if not card:
        raise UserError(f"A platform is just starting on {state}; try again once it is up.")
    return _session(console, state, None, card["airflow"], card["mlflow"])


def open_installation() -> Ledger:
    """The ledger of the state folder, with the environment that everything in it needs."""
    state = default_state(PROJECT)
    os.environ["SOVEREIGN_STATE"] = str(state)
    try:
        make_private(state)
        key = load_credentials(state).installation_key
        if find_running(state):  # its tasks go by this key, whatever this shell has set
            os.environ["SOVEREIGN_KEY"] = key
        os.environ.setdefault("SOVEREIGN_KEY", key)
    except OSError as e:
        raise UserError(
            f"The state folder {state} can't be used: {e.strerror}; mend that or set SOVEREIGN_STATE to another."
        ) from None
    return open_ledger(state)


def print_addresses(console: Console, session: Session) -> None:
    """Where to look, and how to log in."""
    console.print(f"  Airflow    {session.client.base_url}  login admin, password {session.password}", soft_wrap=True)
    console.print(f"  MLflow     {session.mlflow_url}", soft_wrap=True)


def _session(console: Console, state: Path, platform: Platform | None, airflow: str, mlflow: str) -> Session:
    credentials = load_credentials(state)
    # The platform's tasks name their runs with this key, whatever this shell has set.
    os.environ["SOVEREIGN_KEY"] = credentials.installation_key

    def on_outage(patience: float) -> None:
        console.print(f" [dim]Airflow does not answer; waiting up to {patience:.0f} s for it[/]")

    check = platform.check if platform else lambda: None
    client = PatientClient(airflow, credentials.admin_password, check=check, on_outage=on_outage)
    return Session(platform, client, mlflow, credentials.admin_password)


def _wants_demo(path: Path) -> bool:
    """Whether a model file reads the bundled sites; one that can't be read harms no other."""
    try:
        return b"SOVEREIGN_DEMO" in path.read_bytes()
    except OSError:
        return False


def _demo(state: Path, day: int) -> Service:
    """The bundled site, forum and documents; sources find them through the environment."""
    port = choose_port(DEMO_PORT, set())
    documents = state / "demo" / "documents"
    os.environ["SOVEREIGN_DEMO"] = f"{HOST}:{port}"
    os.environ["SOVEREIGN_DEMO_DOCUMENTS"] = str(documents)
    argv = (sys.executable, "-m", "sovereign_tasks.demo", "--port", str(port), "--day", str(day))
    argv += ("--documents", str(documents), "--log", str(state / "logs" / "demo-access.log"))
    return Service("demo", argv, health=f"http://{HOST}:{port}/healthz")
