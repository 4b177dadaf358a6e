"""The champion of a model: which registered version carries the alias, how it moves, and its adapter.

The alias `champion` moves in one request, and `previous` follows it. What moves it writes that down: stages/moves.py.
The way to the MLflow server is here as well, and train/tracking.py takes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_tasks.causal_lm import hash_folder
from sovereign_tasks.errors import TransientError, UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

VARIABLE = "MLFLOW_TRACKING_URI"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
WEIGHTS, DELETED = "weights", "deleted"
"""The tag of a version whose adapter is being deleted, and its value once it was."""
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of what it doesn't have."""


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version: `source` is where MLflow keeps its adapter, `tags` what it was made from."""

    model: str
    version: str
    run_id: str
    source: str
    tags: dict[str, str]


def address() -> str:
    """The address of the MLflow server; a `UserError` unless MLFLOW_TRACKING_URI is an http address."""
    uri = os.environ.get(VARIABLE, "")
    if not uri.startswith(("http://", "https://")):
        raise UserError(f"{VARIABLE} is {uri!r}; set it to the address of the MLflow server, http://host:port.")
    return uri.rstrip("/")


@contextmanager
def connect() -> Iterator[MlflowClient]:
    """A client of the server, once that answers; a server that is away is a `TransientError`."""
    import requests
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = address()
    away = f"MLflow at {uri} does not answer; see whether its server is running"
    try:
        requests.get(f"{uri}/health", timeout=10).raise_for_status()
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except requests.RequestException as e:
        raise TransientError(f"{away} ({type(e).__name__}).") from None
    except MlflowException as e:
        if e.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"):
            raise TransientError(f"{away} ({str(e).splitlines()[0][:200]}).") from None
        raise


def champion(model: str) -> Version | None:
    """The version that carries the alias `champion`, or None."""
    return _found(model, lambda client: client.get_model_version_by_alias(model, CHAMPION))


def previous(model: str) -> Version | None:
    """The version that was champion before this one, or None."""
    return _found(model, lambda client: client.get_model_version_by_alias(model, PREVIOUS))


def move(model: str, version: str, before: str | None, notes: Mapping[str, Mapping[str, str]]) -> None:
    """Make a version the champion, and another (or none) the one before it; done twice, done once.

    `notes` are tags by version, which tell of the move there.
    """
    with connect() as client:
        client.set_registered_model_alias(model, CHAMPION, version)
        there = False
        if before is not None:
            with deleted_there():
                client.set_registered_model_alias(model, PREVIOUS, before)
                there = True
        if not there:
            client.delete_registered_model_alias(model, PREVIOUS)
        for noted, tags in notes.items():
            with deleted_there():
                for key, value in tags.items():
                    client.set_model_version_tag(model, noted, key, value)


def find_version(model: str, number: str) -> Version | None:
    """The registered version of that number; None where there is none, or somebody has deleted it in MLflow."""
    return _found(model, lambda client: client.get_model_version(model, number))


def version_of(model: str, run_id: str) -> Version:
    """The version that a run's adapter is registered as; a `UserError` where somebody has deleted it in MLflow."""
    with connect() as client:
        for known in client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'"):
            return _version(model, known)
    raise UserError(f"{model}: the adapter of run {run_id} is neither here nor in MLflow any more; train fresh.")


def fetch_adapter(version: Version, cache: Path, wanted: str) -> Path:
    """The folder with a version's adapter, downloaded into `cache` unless it is there whole.

    `wanted` is the hash that the ledger has of it: what MLflow says of its own store proves nothing. A `UserError`
    if MLflow holds another adapter.
    """
    import mlflow

    folder = cache / f"{version.model}-{version.version}-{wanted[:16]}"
    if folder.is_dir():
        if hash_folder(folder) == wanted:
            return folder
        shutil.rmtree(folder)
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".adapter.", dir=cache))
    try:
        with connect():
            mlflow.artifacts.download_artifacts(
                artifact_uri=version.source, dst_path=str(temporary), tracking_uri=address()
            )
        if (got := hash_folder(temporary)) != wanted:
            raise UserError(
                f"{version.model} version {version.version}: its adapter in MLflow has the hash {got[:16]} and not "
                f"{wanted[:16]}; train again."
            )
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextmanager
def deleted_there() -> Iterator[None]:
    """Passes over what somebody has deleted in the MLflow UI."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as e:
        if e.error_code not in (*ABSENT, "INVALID_STATE"):
            raise


def _found(model: str, ask: Callable[[MlflowClient], ModelVersion]) -> Version | None:
    """What a question for one version gives; None where MLflow has none such."""
    from mlflow.exceptions import MlflowException

    with connect() as client:
        try:
            return _version(model, ask(client))
        except MlflowException as e:
            if e.error_code in ABSENT:
                return None
            raise


def _version(model: str, known: ModelVersion) -> Version:
    return Version(model, str(known.version), known.run_id, known.source, dict(known.tags))
