"""The embedded platform: Airflow's components, MLflow and further services as children of one process."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform.airflow_client import AirflowClient
from sovereign_tasks.platform.components import (
    AIRFLOW,
    Health,
    airflow_migration,
    mlflow_migration,
    mlflow_server,
)
from sovereign_tasks.platform.credentials import load_credentials, make_private, write_private
from sovereign_tasks.platform.databases import Database
from sovereign_tasks.platform.environment import environment, marker
from sovereign_tasks.platform.gpus import count_gpus
from sovereign_tasks.platform.interrupts import Interrupts
from sovereign_tasks.platform.lock import StateLock, write_card
from sovereign_tasks.platform.ports import HOST, choose_ports
from sovereign_tasks.platform.processes import (
    Child,
    Service,
    find_marked,
    kill,
    kill_session,
    proportional_memory,
    spawn,
    sweep,
    tail,
    terminate,
)

MIN_FREE_BYTES = 256 * 2**20
MAX_RESTARTS = 3
STABLE_SECONDS = 600
"""Who has lived that long before it died starts again with a clean record."""
FOLDER_HINT = "make room there, or set SOVEREIGN_STATE to another folder"


def _ignore(name: str, state: str) -> None:
    """The listener of a platform that nobody watches."""


class Platform:
    """Starts Airflow, MLflow and `services` on loopback, watches them, and ends them all.

    Use it as a context manager: entering returns once all are healthy, leaving ends every process that was
    started. `on_event(name, state)` hears of each component: starting, healthy, restarting, stopping, stopped;
    and of `leftovers`, when those of a killed platform were ended. In the main thread, Ctrl-C, SIGTERM and
    SIGHUP raise `Interrupted`.

    `timezone` is empty for the machine's; `gpu_slots` 0 counts the machine's GPUs; `deadline` is the seconds
    that starting may take. Raises UserError: another platform holds the folder, the folder cannot be written,
    a port that was asked for is taken, a component fails (with the end of its log).
    """

    def __init__(
        self,
        state: Path,
        project: Path,
        *,
        services: Sequence[Service] = (),
        airflow_port: int | None = None,
        mlflow_port: int | None = None,
        timezone: str = "",
        gpu_slots: int = 0,
        network_slots: int = 4,
        on_event: Callable[[str, str], None] = _ignore,
        deadline: float = 180.0,
    ) -> None:
        self.state = state.expanduser().resolve()
        self.project = project.resolve()
        self.environment: dict[str, str] = {}
        self.airflow_url = ""
        self.mlflow_url = ""
        self.admin_password = ""
        self._services = tuple(services)
        self._asked = {"airflow": airflow_port, "mlflow": mlflow_port}
        self._timezone = timezone or "system"
        self._gpu_slots = gpu_slots
        self._network_slots = network_slots
        self._on_event = on_event
        self._deadline = deadline
        self._logs = self.state / "logs"
        self._lock = StateLock(self.state)
        self._interrupts = Interrupts()
        self._children: dict[str, Child] = {}
        self._airflow_db = Database(self.state / "airflow" / "airflow.db", "apache-airflow-core")
        self._mlflow_db = Database(self.state / "mlflow" / "mlflow.db", "mlflow")

    def __enter__(self) -> Self:
        self._interrupts.install()
        atexit.register(self.stop)
        try:
            self._start()
        except BaseException:
            self.stop(grace=0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def client(self) -> AirflowClient:
        """A client of this Airflow, logged in as its admin."""
        return AirflowClient(self.airflow_url, self.admin_password)

    def memory(self) -> int:
        """Bytes that all processes of the platform hold together (PSS), this one left out."""
        return proportional_memory(find_marked(marker(self.state)))

    def check(self) -> None:
        """Restart what has died since the last look; a UserError once one component has died too often."""
        for name, child in list(self._children.items()):
            if child.popen.poll() is None:
                continue
            restarts = child.restarts if time.time() - child.started < STABLE_SECONDS else 0
            if restarts >= MAX_RESTARTS:
                raise _failure(child, f"keeps dying, also after {MAX_RESTARTS} restarts")
            self._on_event(name, "restarting")
            kill_session(child, marker(self.state))
            if name == "scheduler":
                self._airflow_db.end_schedulers()
            self._launch(child.service, restarts + 1)

    def watch(self, interval: float = 1.0) -> None:
        """Look after everything until a signal comes."""
        while True:
            self.check()
            time.sleep(interval)

    def stop(self, grace: float = 10.0) -> None:
        """End everything: the scheduler first, whose tasks get `grace` seconds to finish, then the rest.

        Tasks that are cut off run again after the next start. A signal meanwhile cuts the waiting short. Safe
        to call at any moment, and more than once.
        """
        self._interrupts.closing = True
        if self._lock.is_held:
            self._stop_scheduler(grace)
            for child in self._children.values():
                terminate(child)
            self._wait(self._have_ended, 5.0)
            sweep(marker(self.state))
            self._have_ended()
            self._lock.release()
        self._interrupts.restore()
        atexit.unregister(self.stop)

    def _stop_scheduler(self, grace: float) -> None:
        scheduler = self._children.get("scheduler")
        if scheduler is None or scheduler.popen.poll() is not None:
            return
        self._tell("scheduler", "stopping")
        scheduler.popen.send_signal(signal.SIGTERM)
        if self._wait(lambda: scheduler.popen.poll() is not None, grace):
            return
        # Supervisors go before their tasks, so that none reports its task as failed: Airflow takes these up
        # again after the next start. The scheduler itself survives this and ends in good order, in a moment
        # that even somebody in a hurry has.
        with suppress(psutil.NoSuchProcess):
            kill(psutil.Process(scheduler.popen.pid).children(recursive=True))
        with suppress(subprocess.TimeoutExpired):
            scheduler.popen.wait(5.0)

    def _have_ended(self) -> bool:
        for name, child in list(self._children.items()):
            if child.popen.poll() is not None:
                del self._children[name]
                self._tell(name, "stopped")
        return not self._children

    def _start(self) -> None:
        until = time.monotonic() + self._deadline
        with self._writing():
            self._take_folder()
        if sweep(marker(self.state)):
            self._on_event("leftovers", "stopped")
        with self._writing():
            ports = self._prepare()
        if not self._mlflow_db.is_recorded():
            self._mlflow_db.discard()  # Cut off while the server was making it, so it never held anything.
        elif not self._mlflow_db.is_current():
            self._mlflow_db.migrate(lambda url: self._run(mlflow_migration(url), until))
        for service in (mlflow_server(self._mlflow_db, ports["mlflow"]), *self._services):
            self._launch(service)
        if not self._airflow_db.is_current():
            self._airflow_db.migrate(lambda url: self._run(airflow_migration(url), until))
        self._airflow_db.end_schedulers()
        for service in AIRFLOW:
            self._launch(service)
        self._await_health(until)

    def _take_folder(self) -> None:
        make_private(self.state)
        for folder in (self._logs, self._airflow_db.path.parent, self._mlflow_db.path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        free = shutil.disk_usage(self.state).free
        if free < MIN_FREE_BYTES:
            raise UserError(
                f"the disk of the state folder {self.state} is full: {free >> 20} MB are free and "
                f"{MIN_FREE_BYTES >> 20} MB are needed; {FOLDER_HINT}"
            )

    def _prepare(self) -> dict[str, int]:
        credentials = load_credentials(self.state)
        ports = choose_ports(self.state, self._asked)
        self.airflow_url, self.mlflow_url = (f"http://{HOST}:{ports[name]}" for name in ("airflow", "mlflow"))
        self.admin_password = credentials.admin_password
        self.environment = environment(self.state, self.project, credentials, ports, self._timezone)
        write_private(
            Path(self.environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]),
            json.dumps({"admin": credentials.admin_password}) + "\n",
        )
        for log in self._logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))
        write_card(
            self.state,
            pid=os.getpid(),
            started=datetime.now().astimezone().isoformat(timespec="seconds"),
            airflow=self.airflow_url,
            mlflow=self.mlflow_url,
        )
        return ports

    def _launch(self, service: Service, restarts: int = 0) -> Child:
        self._on_event(service.name, "starting")
        with self._interrupts.shielded():
            child = self._children[service.name] = spawn(service, self.environment, self._logs)
            child.restarts = restarts
        return child

    def _run(self, service: Service, until: float) -> None:
        """Launch something that ends by itself, and wait for that."""
        child = self._launch(service)
        while child.popen.poll() is None:
            if time.monotonic() > until:
                raise _failure(child, f"was not done within {self._deadline:.0f} s")
            time.sleep(0.05)
        if child.popen.returncode:
            raise _failure(child, f"failed with exit code {child.popen.returncode}")
        del self._children[service.name]
        self._on_event(service.name, "stopped")

    def _await_health(self, until: float) -> None:
        health = Health(self.airflow_url)
        waiting = dict(self._children)
        while waiting:
            for child in waiting.values():
                if child.popen.poll() is not None:
                    raise _failure(child, f"ended with exit code {child.popen.returncode} instead of starting")
            if time.monotonic() > until:
                raise _failure(next(iter(waiting.values())), f"was not healthy within {self._deadline:.0f} s")
            for name in sorted(health.healthy(waiting)):
                if name == "api-server":
                    self._make_pools()
                if name == "mlflow":
                    self._mlflow_db.record()
                del waiting[name]
                self._on_event(name, "healthy")
            time.sleep(0.1)

    def _make_pools(self) -> None:
        client = self.client
        client.set_pool("gpu", self._gpu_slots or max(1, count_gpus()), "trainings at once, one per GPU")
        client.set_pool("network", self._network_slots, "sources collected at once")

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not condition():
            if self._interrupts.hurry or time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _tell(self, name: str, state: str) -> None:
        # While stopping, a listener whose terminal has gone must not keep anything alive.
        with suppress(Exception):
            self._on_event(name, state)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"cannot write to the state folder {self.state}: {reason}; {FOLDER_HINT}") from error


def _failure(child: Child, what: str) -> UserError:
    return UserError(f"{child.service.name} {what}; the end of {child.log}:\n{tail(child.log)}")
