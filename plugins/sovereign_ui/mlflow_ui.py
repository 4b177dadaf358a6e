"""Addresses within MLflow's own UI, as a person's browser reaches it."""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit, urlunsplit


def base() -> str | None:
    """MLFLOW_PUBLIC_URI, else MLFLOW_TRACKING_URI, without a login; None unless it is an http address."""
    address = os.environ.get("MLFLOW_PUBLIC_URI") or os.environ.get("MLFLOW_TRACKING_URI") or ""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def model_url(model: str) -> str | None:
    """The registered model's page."""
    return _page("models", model)


def version_url(model: str, version: str) -> str | None:
    """The page of one registered version."""
    return _page("models", model, "versions", version)


def run_url(run_id: str) -> str | None:
    """The page of one run."""
    return _page("runs", run_id)


def file_url(experiment: str, run_id: str, file: str) -> str | None:
    """The page that shows a file of a run."""
    return _page("experiments", experiment, "runs", run_id, "artifacts", file)


def _page(*steps: str) -> str | None:
    root = base()
    return root and f"{root}/#/" + "/".join(quote(step, safe="") for step in steps)
