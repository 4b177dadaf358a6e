"""docker-compose.yaml: complete, closed to the outside, and in step with the rest of the project."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from sovereign_tasks.platform.offline import OFFLINE

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("sovereign:")}
SECRETS = re.compile(r"KEY|PASSWORD|SECRET")


def _variables() -> dict[str, set[str]]:
    """Every ${NAME…} of the file: what follows the name, in each of its places."""
    found: dict[str, set[str]] = {}
    code = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    for name, rest in re.findall(r"(?<!\$)\$\{([A-Z_]+)((?::[-?][^}]*)?)\}", code):
        found.setdefault(name, set()).add(rest)
    return found


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]", line))


def test_whole_topology_is_there() -> None:
    assert set(SERVICES) == {
        "postgres",
        "redis",
        "prepare",
        "api-server",
        "scheduler",
        "dag-processor",
        "worker",
        "worker-gpu",
        "mlflow",
    }


def test_telemetry_is_off_everywhere() -> None:
    assert COMPOSE["x-offline"] == OFFLINE
    for name, service in OURS.items():
        assert service["environment"].items() >= OFFLINE.items(), name


def test_only_the_uis_are_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api-server", "mlflow"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_only_the_worker_that_collects_can_reach_outside() -> None:
    networks = COMPOSE["networks"]
    assert networks["inside"]["internal"] is True
    assert networks["ui"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert {name for name, one in SERVICES.items() if "outside" in one["networks"]} == {"worker"}
    assert {network for one in SERVICES.values() for network in one["networks"]} == set(networks)


def test_nothing_runs_as_root_or_gains_rights() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert name in OURS or service["user"] not in ("root", "0"), name
    last_user = re.findall(r"^USER (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[-1]
    assert last_user == "sovereign"


def test_every_lasting_service_reports_its_health() -> None:
    assert {name for name, one in SERVICES.items() if "healthcheck" not in one} == {"prepare"}
    for service in SERVICES.values():
        for needed, state in service.get("depends_on", {}).items():
            assert state["condition"] in ("service_healthy", "service_completed_successfully")
            assert needed in SERVICES


def test_every_value_is_documented_and_no_secret_has_a_default() -> None:
    example, used = _example(), _variables()
    assert set(example) == set(used)
    for name, forms in used.items():
        required = any(form.startswith(":?") for form in forms)
        if SECRETS.search(name):
            assert required, f"compose starts without {name}"
            assert example[name] == "", f".env.example gives a value for the secret {name}"
        elif not required:
            assert forms == {f":-{example[name]}"}, name


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if SECRETS.search(name) and not name.endswith("_FILE"):
                assert value.startswith("${"), name


def test_no_secret_becomes_an_argument() -> None:
    scripts = [COMPOSE["configs"]["databases"]["content"]]
    scripts += [line for one in SERVICES.values() for line in one.get("command", [])]
    for script in scripts:
        assert not re.search(r"\$\$?\{?\w*(KEY|PASSWORD|SECRET|STORE_URI|SQL_ALCHEMY)", script), script
    read = re.findall(r"\\getenv (\w+) (\w+)", scripts[0])
    assert {name for name, _ in read} == set(re.findall(r"PASSWORD :'(\w+)'", scripts[0]))
    assert {variable for _, variable in read} <= set(SERVICES["postgres"]["environment"])


def test_mlflows_upgrade_takes_its_address_from_the_environment(tmp_path: Path) -> None:
    (line,) = (one for one in SERVICES["prepare"]["command"][-1].splitlines() if "mlflow" in one)
    database = tmp_path / "mlflow.db"
    environ = os.environ | {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{database}"}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    subprocess.run(["sh", "-euc", line], env=environ, cwd=tmp_path, check=True, capture_output=True)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


@pytest.mark.parametrize(("service", "queue"), [("worker", "default"), ("worker-gpu", "gpu")])
def test_workers_listen_on_their_queues(service: str, queue: str) -> None:
    command = SERVICES[service]["command"]
    assert command[:3] == ["airflow", "celery", "worker"]
    assert command[command.index("--queues") + 1] == queue


def test_training_has_a_card_to_itself() -> None:
    command = SERVICES["worker-gpu"]["command"]
    assert command[command.index("--concurrency") + 1] == "1"
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert [name for name, one in SERVICES.items() if "deploy" in one] == ["worker-gpu"]


def test_dags_come_from_the_models_files() -> None:
    settings = COMPOSE["x-settings"]
    (bundle,) = json.loads(settings["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    module, name = bundle["classpath"].rsplit(".", 1)
    assert f"class {name}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert settings["AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS"] == "False"


def test_what_the_image_copies_exists_and_is_no_state() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert lines[0] == "*"
    admitted = {line[1:] for line in lines if line.startswith("!")}
    assert admitted == {"requirements.txt", "sovereign_tasks", "dags", "plugins", "docs/personal-data.md"}
    assert all((ROOT / name).exists() for name in admitted)


def test_named_volumes_are_declared_and_their_folders_belong_to_the_user() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    used = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target = re.fullmatch(r"(\$\{[^}]+\}|[^:]+):(/[^:]+)(?::ro)?", volume).groups()
            if not source.startswith("${"):
                used.add(source)
                assert name not in OURS or target in image, f"{name}: {target} would belong to root"
    assert used == set(COMPOSE["volumes"])
