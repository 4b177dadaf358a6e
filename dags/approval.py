"""The task in which a promotion waits for a person; the evidence is in its body, and silence refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param
from sovereign_ui.mlflow_ui import run_url


def ask(model: str, hours: float) -> Approval:
    """The task that asks for a model; after so many hours without an answer the candidate is rejected."""
    return Approval(
        task_id="approve",
        model=model,
        subject=f"Promote the new version of {model}?",
        defaults=Approval.REJECT,
        response_timeout=timedelta(hours=hours),
        params={"reason": Param("", type="string", title="Why, in your words; kept with the decision")},
    )


class Approval(ApprovalOperator):
    """Asks whether the candidate of the task `gate` is to be promoted, and keeps the answer in the ledger."""

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def execute(self, context: Context) -> Any:
        """Ask."""
        from sovereign_tasks.stages import approval as stages

        found = stages.read_evidence(self.model, self._run(context))
        # Set here, where nothing of it is taken for a template any more.
        self.subject = f"Promote version {found['version']} of {self.model}?"
        took = f"take over from {found['champion']}" if found["champion"] else "be the first champion"
        url = run_url(found["run_id"])
        link = f"\n\n[Its run in MLflow]({url}) has its curves, scores and lineage." if url else ""
        self.body = f"It passed every gate and would {took}.\n\n{found['gates']}{link}"
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the answer; a rejection skips what follows."""
        from sovereign_tasks.stages import approval as stages

        if "error" not in event:
            approved = event["chosen_options"] == [self.APPROVE]
            by = (event["responded_by_user"] or {}).get("name", "")
            reason = str((event["params_input"] or {}).get("reason") or "")
            outcome = stages.APPROVED if approved else stages.REJECTED
            stages.record(self.model, self._run(context), outcome, reason, by)
        return super().execute_complete(context, event)

    def _run(self, context: Context) -> str:
        return context["ti"].xcom_pull(task_ids="gate")["run"]
