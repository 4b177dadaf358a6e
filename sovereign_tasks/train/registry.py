"""What a person reads in MLflow of a model, its versions and their runs: their descriptions, in Markdown."""

from __future__ import annotations

from sovereign_tasks.promote import connect, deleted_there

LONGEST = 5000  # characters that MLflow keeps of a description
CUT = "\n\n…"


def describe_version(model: str, version: str, run_id: str, text: str) -> None:
    """Tell of a version on its page and on that of its run, which then has the version in its name.

    One that somebody has deleted is passed over.
    """
    from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

    text, ending = _within(text), f", version {version}"
    with connect() as client, deleted_there():
        run = client.get_run(run_id)
        if not run.info.run_name.endswith(ending):
            client.update_run(run_id, name=run.info.run_name + ending)
        if run.data.tags.get(MLFLOW_RUN_NOTE) != text:
            client.set_tag(run_id, MLFLOW_RUN_NOTE, text)
        if client.get_model_version(model, version).description != text:
            client.update_model_version(model, version, text)


def describe_model(model: str, text: str) -> None:
    """Tell of a registered model on its page."""
    text = _within(text)
    with connect() as client, deleted_there():
        if client.get_registered_model(model).description != text:
            client.update_registered_model(model, text)


def _within(text: str) -> str:
    """The text, cut at the end of a line where it is too long."""
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - len(CUT)].rpartition("\n")[0] + CUT
