"""Every training in MLflow: parameters, dataset, curves, adapter, registered version and gates.

Only counts, hashes and numbers go there, never the text of an example. Runs of a model share the experiment
of its name. A retried attempt goes on in the run it began, by the run's `attempt` tag.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sovereign_tasks.errors import TransientError
from sovereign_tasks.gate_words import asked, verdict
from sovereign_tasks.promote import CHALLENGER, DELETED, WEIGHTS, address, connect, deleted_there
from sovereign_tasks.records import GateRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

ARTIFACT, SCORES = "adapter", "scores.json"
DIGEST_LENGTH = 36  # what MLflow keeps of a dataset's digest
BUFFER, BUFFER_SECONDS = 400, 2.0
MOST_METRICS = 1000  # what MLflow takes in one request


def start_run(
    model: str,
    attempt: str,
    *,
    snapshot: int,
    snapshot_hash: str,
    counts: Mapping[str, int],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    trial: tuple[str, str] | None = None,
) -> str:
    """Begin the run of an attempt, or take it up again, and return its id.

    `counts` are the snapshot's rows by split; `tags` must hold config_hash, and should code_version and base_hash.
    `trial` is the run that it is nested in, and what tells it from others there.
    An attempt whose settings have changed meanwhile gets a run of its own. What a try that was cut off has not
    sent yet is sent by the next.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    with connect() as client:
        experiment = _experiment(client, model)
        wanted = {"attempt": attempt, "config_hash": tags["config_hash"]}
        query = " and ".join(f"tags.{name} = '{_quoted(value)}'" for name, value in wanted.items())
        found = client.search_runs([experiment], query, max_results=1)
        if found:
            run = client.update_run(found[0].info.run_id, status="RUNNING") or client.get_run(found[0].info.run_id)
        else:
            all_tags = {"snapshot": snapshot, "snapshot_hash": snapshot_hash, "hardware": hardware(), **tags} | wanted
            parent, name = trial or ("", f"snapshot {snapshot}")
            all_tags |= {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
            run = client.create_run(experiment, run_name=name, tags={k: str(v) for k, v in all_tags.items()})
        run_id = run.info.run_id
        missing = {k: str(v) for k, v in flatten(params).items() if k not in run.data.params}
        client.log_batch(run_id, params=[Param(k, v) for k, v in missing.items()])
        dataset = Dataset(
            name=f"{model} snapshot {snapshot}",
            digest=snapshot_hash[:DIGEST_LENGTH],
            source_type="sovereign",
            source=json.dumps({"model": model, "snapshot": snapshot}),
            profile=json.dumps(dict(counts)),
        )
        # The same dataset of the same run is kept once, however often it is sent.
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        return run_id


def log_lineage(run_id: str, lineage: Mapping[str, Any]) -> None:
    """Keep beside a run where what it learns from comes from: counts, terms and hashes."""
    with connect() as client:
        client.log_dict(run_id, dict(lineage), "lineage.json")


def log_files(run_id: str, files: Mapping[str, str]) -> None:
    """Keep texts beside a run, by the names of their files."""
    with connect() as client:
        for name, text in files.items():
            client.log_text(run_id, text, name)


def log_figures(run_id: str, figures: Mapping[str, Figure]) -> None:
    """Keep pictures beside a run, by the names of their files."""
    with connect() as client:
        for name, figure in figures.items():
            client.log_figure(run_id, figure, name)


def log_choice(run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """Note with the run of a search which of its trials goes on, and that one's figures."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    with connect() as client:
        client.log_batch(
            run_id, [Metric(k, v, now, 0) for k, v in metrics.items()], tags=[RunTag(k, v) for k, v in tags.items()]
        )


class Curves:
    """Metrics by step, sent in batches; steps that an earlier try already sent are not sent again.

    While the server is away they wait here; only at the end is that a `TransientError`.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._waiting: list[Any] = []
        self._unsent, self._tried = 0, time.monotonic()
        self._last: dict[str, int] = {}

    def __call__(self, step: int, values: Mapping[str, float]) -> None:
        """Add values at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in values.items()]
        self._unsent += 1
        if self._unsent >= BUFFER or time.monotonic() - self._tried > BUFFER_SECONDS:
            with suppress(TransientError):
                self.flush()
            # Also after a failure, so that a server that is away costs one question in a while and not one a step.
            self._unsent, self._tried = 0, time.monotonic()

    def flush(self) -> None:
        """Send what waits; a batch that may have arrived unanswered is sent again as it was, which adds nothing."""
        while self._waiting:
            batch = self._waiting[:MOST_METRICS]
            fresh = [m for m in batch if m.step > self._last_step(m.key)]
            if fresh:
                with connect() as client:
                    client.log_batch(self.run_id, metrics=fresh)
            del self._waiting[:MOST_METRICS]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:  # a failure or a signal should not wait for a server
            self.flush()

    def _last_step(self, name: str) -> int:
        if name not in self._last:
            with connect() as client:
                history = client.get_metric_history(self.run_id, name)
            self._last[name] = max((m.step for m in history), default=-1)
        return self._last[name]


def register(run_id: str, model: str, adapter: Path, *, metrics: Mapping[str, float], tags: Mapping[str, str]) -> str:
    """Store an adapter with its run, register it as the challenger, and return its version.

    `tags` go on the version and must hold adapter_hash; registering the same adapter of a run again returns
    the version it has.
    """
    from mlflow.exceptions import MlflowException

    with connect() as client:
        try:
            client.create_registered_model(model)
        except MlflowException as e:
            if e.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for known in client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'"):
            if known.tags.get("adapter_hash") == tags["adapter_hash"]:
                client.set_registered_model_alias(model, CHALLENGER, known.version)
                return str(known.version)
        logged = _begun(client, run_id, tags["adapter_hash"]) or client.create_logged_model(
            client.get_run(run_id).info.experiment_id,
            ARTIFACT,
            source_run_id=run_id,
            model_type="peft-adapter",
            tags=dict(tags),
        )
        client.log_model_artifacts(logged.model_id, str(adapter))
        client.finalize_logged_model(logged.model_id, "READY")
        for name, value in metrics.items():
            client.log_metric(run_id, name, value, model_id=logged.model_id)
        version = client.create_model_version(
            model,
            f"models:/{logged.model_id}",
            run_id,
            tags=dict(tags),
            await_creation_for=0,
            model_id=logged.model_id,
        ).version
        client.set_registered_model_alias(model, CHALLENGER, version)
        return str(version)


def log_scores(run_id: str, table: Mapping[str, Any], means: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Keep the scores of single rows as a table that MLflow shows and compares, and the means of slices as metrics.

    A table is columns and data, of ids and figures; means are by kind, label and source, name, and metric.
    """
    from mlflow.entities import Metric
    from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

    now = int(time.time() * 1000)
    metrics = [
        # One section of the UI, since each slash makes another and the curves would be far below them all.
        Metric(f"slice/{by} {name.replace('/', '.')} {metric}", value, now, 0)
        for by, slices in means.items()
        for name, figures in slices.items()
        for metric, value in figures.items()
    ]
    with connect() as client:
        client.log_dict(run_id, dict(table), SCORES)
        client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([{"path": SCORES, "type": "table"}]))
        for at in range(0, len(metrics), MOST_METRICS):
            client.log_batch(run_id, metrics=metrics[at : at + MOST_METRICS])


def log_gates(run_id: str, model: str, version: str, rows: Sequence[GateRow], *, passed: bool) -> None:
    """Record every gate row with the run, and the verdict on run and version, passed or not."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    figures = ("candidate", "reference", "difference", "low", "high", "threshold")
    metrics = [
        Metric(f"{_place(row)} {figure}", value, now, 0)
        for row in rows
        for figure in figures
        if math.isfinite(value := getattr(row, figure))
    ]
    metrics += [Metric(f"{_place(row)} passed", float(row.passed), now, 0) for row in rows]
    outcome = "passed" if passed else "refused"
    finite = [{k: _finite(v) for k, v in asdict(row).items()} for row in rows]
    with connect() as client:
        for at in range(0, len(metrics), MOST_METRICS):
            client.log_batch(run_id, metrics=metrics[at : at + MOST_METRICS])
        client.log_dict(run_id, {"verdict": outcome, "rows": finite}, "gates.json")
        client.log_text(run_id, f"**{outcome}**\n\n{gate_table(rows)}\n", "gates.md")
        client.set_tag(run_id, "gates", outcome)
        client.set_model_version_tag(model, version, "gates", outcome)


def gate_table(rows: Sequence[GateRow]) -> str:
    """Gate rows as a table in Markdown, of which nothing is taken for markup."""
    lines = ["| gate | asked | new | reference | gain | 95% interval | verdict | why |", f"|{'---|' * 8}"]
    for r in rows:
        figures = [_figure(value) for value in (r.candidate, r.reference, r.difference)]
        interval = f"{_figure(r.low)} to {_figure(r.high)}" if math.isfinite(r.low) else ""
        cells = [plain(r.gate), plain(asked(r)), *figures, interval, verdict(r, rows), plain(r.reason)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mark_tainted(model: str, run_id: str, rows: int) -> None:
    """Tag a run and its versions as having learned from rows that were erased since."""
    with connect() as client, deleted_there():
        client.set_tag(run_id, "tainted", f"{rows} rows erased")
        for version in client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'"):
            client.set_model_version_tag(model, version.version, "tainted", f"{rows} rows erased")


def delete_weights(model: str, run_id: str) -> None:
    """Delete the adapter of a run from MLflow's store for good; its figures stay, and a tag says so."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with connect() as client, deleted_there():
        for version in client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'"):
            if version.tags.get(WEIGHTS) != DELETED:
                client.set_model_version_tag(model, version.version, WEIGHTS, "deleting")
                stored = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
                get_artifact_repository(stored, tracking_uri=address()).delete_artifacts()
                client.set_model_version_tag(model, version.version, WEIGHTS, DELETED)


def runs_with_weights(model: str) -> set[str]:
    """The runs whose versions still have their adapters in MLflow's store."""
    found: set[str] = set()
    token = None
    with connect() as client:
        while True:
            page = client.search_model_versions(f"name = '{model}'", page_token=token)
            found |= {version.run_id for version in page if version.tags.get(WEIGHTS) != DELETED}
            if not (token := page.token):
                return found


def end_run(run_id: str, *, ok: bool = True) -> None:
    """End a run as finished or failed."""
    with connect() as client:
        client.set_terminated(run_id, "FINISHED" if ok else "FAILED")


def experiment_of(run_id: str) -> str:
    """The id of the experiment that a run belongs to."""
    with connect() as client:
        return client.get_run(run_id).info.experiment_id


def run_url(run_id: str) -> str:
    """The address of a run's page in the MLflow UI."""
    return f"{address()}/#/experiments/{experiment_of(run_id)}/runs/{run_id}"


def hardware() -> str:
    """The machine in words: its GPUs, or its processor, and the cores it has."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{', '.join(gpus) or platform.machine()}, {os.cpu_count()} cores"


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _begun(client: MlflowClient, run_id: str, adapter_hash: str) -> LoggedModel | None:
    """What a try that was cut off has stored of an adapter: a second copy would belong to no version, and stay."""
    experiment = client.get_run(run_id).info.experiment_id
    stored = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    return next((one for one in stored if one.tags.get("adapter_hash") == adapter_hash), None)


def _experiment(client: MlflowClient, model: str) -> str:
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(model)
    if known:
        return known.experiment_id
    try:
        return client.create_experiment(model)
    except MlflowException:  # made by another in the meantime
        return client.get_experiment_by_name(model).experiment_id


def _place(row: GateRow) -> str:
    """What a gate's metrics begin with: one section of the UI, since each slash makes another and buries the curves."""
    against = f"{row.against} no worse" if row.rule == "no_worse" else row.against
    return f"gate/{row.metric.replace('/', '.')} {against}".rstrip()


def _quoted(text: str) -> str:
    if "'" in text or "\\" in text:
        raise ValueError(f"an attempt's key may not hold quotes: {text!r}")
    return text


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def plain(text: str) -> str:
    """Text on one line with what Markdown or HTML would take for markup escaped."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$-])", r"\\\1", " ".join(text.split()))
