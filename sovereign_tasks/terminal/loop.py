"""`run`: what was cut off before, then one night, then the training that it makes due."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import load_file, load_model, model_files
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.base import what_changed
from sovereign_tasks.stages.context import look_into, run_key
from sovereign_tasks.stages.taints import champion_training
from sovereign_tasks.terminal.follow import PAUSED, Outcome, follow
from sovereign_tasks.terminal.run import Session
from sovereign_tasks.terminal.summary import print_build, print_champion, print_retrain

PARSE_SECONDS = 120.0
ASSET_SECONDS = 60.0
UNFINISHED = ("queued", "running")


@dataclass
class Loop:
    """One model's night and training on a running platform, shown as they go."""

    console: Console
    session: Session
    ledger: Ledger
    model: str

    def run(self) -> None:
        """Go through the whole loop once, and print the closing tables; a UserError says why a run failed."""
        self._await_dags()
        earlier = self._finish_earlier()
        self.console.print(f"\n[bold]Night[/] of {self.model}")
        before = self._trainings()
        build = self.session.client.trigger(self._dag("build"))
        outcome, training = self._see_through(build, before)
        if outcome.state != "success" and not self._published(build):
            raise UserError(f"{outcome.reason.rstrip('.')}.{self._what_follows(outcome)}")
        self.console.print()
        print_build(self.console, self.ledger, self.model, self._key("build", build))
        if training or earlier:
            print_retrain(self.console, self.ledger, self.model, self._key("retrain", training or earlier))
        print_champion(self.console, self.ledger, self.model)
        if outcome.state != "success":
            raise UserError(f"{outcome.reason.rstrip('.')}.{self._what_follows(outcome)}")

    def retrain(self, snapshot: int | None) -> None:
        """Train on a snapshot, or the newest, see it through, and print the closing tables."""
        self._await_dags()
        for run_id in self._unfinished("retrain"):
            self._finish_training(run_id)
        self._tell_of_a_twin(snapshot)
        on = f"snapshot {snapshot}" if snapshot else "the newest snapshot"
        self.console.print(f"\n[bold]Training[/] of {self.model} on {on}")
        run_id = self.session.client.trigger(self._dag("retrain"), {"snapshot": snapshot})
        outcome = self._follow("retrain", run_id)
        if outcome.state != "success":
            raise UserError(f"{outcome.reason.rstrip('.')}.{self._what_follows(outcome)}")
        self.console.print()
        print_retrain(self.console, self.ledger, self.model, self._key("retrain", run_id))
        print_champion(self.console, self.ledger, self.model)

    def _tell_of_a_twin(self, number: int | None) -> None:
        """Say so where nothing but the champion can come of a training."""
        context = look_into(self.ledger, load_model(self.model))
        champion = champion_training(context)
        number = number or self.ledger.snapshots(self.model)[-1].number
        if not champion or champion.snapshot != number or context.config.training.start != "fresh":
            return
        if not what_changed(context, champion):
            self.console.print(
                f"The champion was trained on snapshot {number} by these settings, so the same will come out again, "
                "and no gate finds it better than itself. Another training.seed makes another.",
                soft_wrap=True,
            )

    def _published(self, build: str) -> bool:
        return self.ledger.is_committed(self.model, self._key("build", build))

    def _see_through(self, build: str, before: set[str]) -> tuple[Outcome, str | None]:
        """Follow a night and, if it makes one due, its training; how both ended, and the training's run.

        A night that a source was missing from has published all the same.
        """
        outcome = self._follow("build", build)
        decisions = self.ledger.decisions(self.model, "retrain", self._key("build", build))
        if not decisions or decisions[0]["outcome"] != "due":
            return outcome, None
        (decision,) = decisions
        self.console.print(f"\n[bold]Training[/]: {escape(decision['reason'])}")
        training = self._await_training(before)
        trained = self._follow("retrain", training)
        return (outcome if trained.state == "success" else trained), training

    def _finish_earlier(self) -> str | None:
        """See what is unfinished to its end: Airflow runs one night of a model at a time, and one training.

        Returns the training that was finished so, if any.
        """
        training = None
        for run_id in self._unfinished("build"):
            self.console.print(f"\n[bold]Night[/] of {self.model} that is not finished yet; a new one follows")
            outcome, training = self._see_through(run_id, self._trainings())
            self._conclude("retrain" if training else "build", training or run_id, outcome)
        for training in self._unfinished("retrain"):
            self._finish_training(training)
        return training

    def _finish_training(self, run_id: str) -> Outcome:
        self.console.print(f"\n[bold]Training[/] of {self.model} that is not finished yet")
        outcome = self._follow("retrain", run_id)
        self._conclude("retrain", run_id, outcome)
        return outcome

    def _conclude(self, kind: str, run_id: str, outcome: Outcome) -> None:
        """Say how an earlier run ended without success; one that waits for another try is given up.

        A new night collects what the given up one did not publish. A training given up is made again only when
        enough is new, or by hand.
        """
        if outcome.state == "success":
            return
        if outcome.state == PAUSED:
            self.console.print(f" [yellow]Waits:[/] {escape(outcome.reason)}", soft_wrap=True)
            return
        self.console.print(f" [yellow]Ended without success:[/] {escape(outcome.reason)}", soft_wrap=True)
        if outcome.state == "up_for_retry":
            self.session.client.fail_run(self._dag(kind), run_id)

    def _await_training(self, before: set[str]) -> str:
        """The run that the snapshot's asset event starts; while an earlier one runs, Airflow holds it back."""
        until = time.monotonic() + ASSET_SECONDS
        while time.monotonic() < until:
            self.session.check()
            fresh = sorted(self._trainings() - before)
            if fresh:
                return fresh[0]
            for run_id in self._unfinished("retrain"):
                if (outcome := self._finish_training(run_id)).state == PAUSED:
                    raise UserError(f"{outcome.reason.rstrip('.')}; the training on the new snapshot follows it.")
                until = time.monotonic() + ASSET_SECONDS
            time.sleep(0.25)
        raise UserError(
            f"Airflow did not start {self._dag('retrain')} on the snapshot's event; see the scheduler's log."
        )

    def _await_dags(self) -> None:
        """Wait until Airflow has parsed the model's DAGs; its import error is ours."""
        until, client = time.monotonic() + PARSE_SECONDS, self.session.client
        wanted = [self._dag("build"), self._dag("retrain")]
        while True:
            self.session.check()
            known: list[dict[str, Any] | None] = [client.dag(dag_id) for dag_id in wanted]
            if all(known):
                break
            errors = [e for e in client.import_errors() if e["filename"] == f"{_file_of(self.model)}.py"]
            if errors:
                raise UserError(errors[0]["stack_trace"].strip())
            if time.monotonic() > until:
                raise UserError(
                    f"Airflow has not parsed the DAGs of {self.model}; see logs/dag-processor.log in the state folder."
                )
            time.sleep(0.25)
        for dag_id, dag in zip(wanted, known, strict=True):
            if dag and dag["is_paused"]:
                client.unpause(dag_id)

    def _follow(self, kind: str, run_id: str) -> Outcome:
        return follow(
            self.session.client,
            self.ledger,
            self.console,
            model=self.model,
            dag_id=self._dag(kind),
            run_id=run_id,
            run=self._key(kind, run_id),
            check=self.session.check,
        )

    def _what_follows(self, outcome: Outcome) -> str:
        if outcome.state == PAUSED:
            return " Run the same command again in these hours." if self.session.platform else " Airflow goes on then."
        if outcome.state != "up_for_retry":
            return ""
        if self.session.platform:  # Whoever reads this finds it stopped.
            return " Airflow was stopped and won't try again by itself; mend that and run the same command again."
        return " Airflow tries again in five minutes."

    def _trainings(self) -> set[str]:
        return {r["dag_run_id"] for r in self.session.client.runs(self._dag("retrain"))}

    def _unfinished(self, kind: str) -> list[str]:
        return [r["dag_run_id"] for r in self.session.client.runs(self._dag(kind)) if r["state"] in UNFINISHED]

    def _dag(self, kind: str) -> str:
        return f"{self.model}_{kind}"

    def _key(self, kind: str, run_id: str) -> str:
        return run_key(kind, self.model, run_id)


def _file_of(model: str) -> str:
    """The name, without its ending, of the file that holds a model; the model's own if none can be read."""
    for path in model_files():
        try:
            if load_file(path).model == model:
                return path.stem
        except UserError:
            continue
    return model
