"""The champion of a model: which registered version carries the alias, how it moves, and its adapter.

The alias moves in one request. Each version remembers the champion before it, so a rollback is one move too.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sovereign_tasks.causal_lm import hash_folder
from sovereign_tasks.errors import UserError
from sovereign_tasks.train.tracking import address, connect

CHAMPION = "champion"
PREVIOUS = "previous_champion"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version: `source` is where MLflow keeps its adapter, `tags` what it was made from."""

    model: str
    version: str
    run_id: str
    source: str
    tags: dict[str, str]

    @property
    def snapshot(self) -> int | None:
        """The number of the snapshot it was trained on, if known."""
        return int(self.tags["snapshot"]) if "snapshot" in self.tags else None


def champion(model: str) -> Version | None:
    """The version that carries the alias `champion`, or None."""
    return _by_alias(model, CHAMPION)


def challenger(model: str) -> Version | None:
    """The version registered last, or None."""
    return _by_alias(model, "challenger")


def promote(model: str, version: str) -> str | None:
    """Make a version the champion and return the version it takes over from; done twice, done once."""
    now = champion(model)
    if now and now.version == str(version):
        before = now.tags.get(PREVIOUS, NONE)
        return None if before == NONE else before
    with connect() as client:
        client.set_model_version_tag(model, version, PREVIOUS, now.version if now else NONE)
        client.set_registered_model_alias(model, CHAMPION, version)
    return now.version if now else None


def rollback(model: str) -> Version:
    """Give the alias back to the champion before this one; a `UserError` if there was none."""
    now = champion(model)
    if now is None:
        raise UserError(f"{model}: there is no champion to roll back from; promote a version first.")
    before = now.tags.get(PREVIOUS, NONE)
    if before == NONE:
        raise UserError(f"{model}: version {now.version} is its first champion; there is none to go back to.")
    with connect() as client:
        client.set_registered_model_alias(model, CHAMPION, before)
        return _version(model, client.get_model_version(model, before))


def fetch_adapter(version: Version, cache: Path) -> Path:
    """The folder with a version's adapter, downloaded into `cache` unless it is there; its hash is checked."""
    import mlflow

    wanted = version.tags["adapter_hash"]
    folder = cache / f"{version.model}-{version.version}-{wanted[:16]}"
    if folder.is_dir():
        return folder
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


def _by_alias(model: str, alias: str) -> Version | None:
    from mlflow.exceptions import MlflowException

    with connect() as client:
        try:
            return _version(model, client.get_model_version_by_alias(model, alias))
        except MlflowException as e:
            if e.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _version(model: str, known: object) -> Version:
    return Version(model, str(known.version), known.run_id, known.source, dict(known.tags))
