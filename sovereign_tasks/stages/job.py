"""One adapter to be trained: on which rows, with which settings, from which start, and how MLflow is told of it.

It needs MLflow only to be told: while that is away, what a training measures lies beside its adapter, and is sent once
by the next try.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks import __version__
from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.config import config_hash, read_model
from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.records import Example, Snapshot, TrainingRun
from sovereign_tasks.stages.cards import hold_cards
from sovereign_tasks.stages.champion import start_of
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.held_out import held_out, watching
from sovereign_tasks.stages.lineage import CANARIES, SAMPLED_OUT, of_base, of_snapshot, plain_lineage
from sovereign_tasks.stages.plan import RATE
from sovereign_tasks.stages.replay import OwnChats, read_replay
from sovereign_tasks.stages.snapshots import load_splits, newest_labels
from sovereign_tasks.store import model_folder
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from sovereign_tasks.train.qlora import Result
    from sovereign_tasks.train.sampling import Sample

ROWS = "rows.sha256"
BY_HAND = "asked for by hand"
log = logging.getLogger(__name__)


def wait_for_hours(context: Context) -> None:
    """Raise Paused outside the hours in which the model may be trained."""
    from sovereign_tasks.train.window import Window

    hours, now = context.config.training.window, datetime.now().astimezone()
    if not Window(hours).is_open(now):
        raise Paused(f"{context.model}: training waits for its hours ({hours}).", Window(hours).opens(now))


@dataclass
class Job:
    """One adapter to be trained: `trial` is the name of its settings among those that are tried, if several are."""

    context: Context
    snapshot: Snapshot
    base: Path
    base_hash: str
    trial: str = ""

    @classmethod
    def of(cls, context: Context, number: int, base: str, trial: str = "") -> Job:
        from sovereign_tasks.causal_lm import base_name

        return cls(context, context.ledger.snapshot(context.model, number), Path(base), base_name(Path(base)), trial)

    @cached_property
    def training(self) -> TrainingConfig:
        """The model's training block, or what this trial makes of it."""
        block = self.context.config.training
        return block.trials()[self.trial] if self.trial else block

    @cached_property
    def splits(self) -> dict[str, list[Example]]:
        return load_splits(self.context, self.snapshot)

    @cached_property
    def own(self) -> OwnChats | None:
        """The owner's chats to replay from, if there are any."""
        return read_replay(self.context.config, held_out(self.splits))

    @cached_property
    def sampled(self) -> Sample:
        from sovereign_tasks.train.sampling import sample

        return sample(self.splits["train"], newest_labels(self.context), self.training.sampling, self.training.seed)

    @cached_property
    def canaries(self) -> list[Example]:
        """What is learned beside the rows; the same for every training on this snapshot."""
        return [c.example for c in derive_canaries(self.snapshot.content_hash, self.context.config.leaks.canaries)]

    @cached_property
    def validation(self) -> list[Example]:
        return watching(self.context, self.splits)

    @property
    def rows_hash(self) -> str:
        """Of the rows that it is trained on and watched by: losses on others are no comparison."""
        ids = [sorted(e.example_id for e in rows) for rows in (self.sampled.examples, self.validation)]
        return hashlib.sha256(json.dumps(ids).encode()).hexdigest()

    @cached_property
    def start(self) -> tuple[TrainingRun | None, str]:
        """The champion, if its adapter is to be begun with, and otherwise why it is not, where that was asked for."""
        return start_of(self.context, self.base_hash) if self.training.start == "champion" else (None, "")

    @property
    def adapter(self) -> Path:
        """Where the adapter goes."""
        below = ("trials", hashlib.sha256(self.trial.encode()).hexdigest()[:8]) if self.trial else ()
        return model_folder(self.context.model, "runs", self.context.run, *below) / "adapter"

    @property
    def lease(self) -> str:
        """What only one process may hold: trials may run beside one another, on several cards."""
        return f"train/{self.context.model}" + (f"/{self.adapter.parent.name}" if self.trial else "")

    def begin(self) -> str:
        """Begin the MLflow run, or take it up again, with all that is known before a training; its id."""
        from sovereign_tasks.train import tracking
        from sovereign_tasks.train.device import software

        context, training, (start, refused) = self.context, self.training, self.start
        decided = context.ledger.decisions(context.model, "preflight", context.run)
        tags = {
            "config_hash": config_hash(training),
            "code_version": __version__,
            "base_hash": self.base_hash,
            "system_prompt_hash": hashlib.sha256(training.system_prompt.encode()).hexdigest()[:16],
            "reason": next((d["reason"] for d in decided), BY_HAND),
        }
        tags |= {"started_from": start.run_id} if start else {}
        tags |= {"started_fresh": refused} if refused else {}
        tags |= {CANARIES: str(len(self.canaries))} if self.canaries else {}
        run_id = tracking.start_run(
            context.model,
            f"{context.run}/{self.adapter.parent.name}" if self.trial else context.run,
            snapshot=self.snapshot.number,
            snapshot_hash=self.snapshot.content_hash,
            counts=self.snapshot.counts,
            params=training.model_dump(mode="json") | {SAMPLED_OUT: self.sampled.left_out} | self._made_from(),
            tags=tags,
            trial=(self._search_run(), self.trial) if self.trial else None,
        )
        tracking.log_lineage(run_id, self.lineage())
        tracking.log_files(run_id, {"model.yaml": read_model(context.model), "environment.txt": software()})
        return run_id

    def _made_from(self) -> dict[str, Any]:
        """Data, base and beginning as parameters: of two versions MLflow sets those side by side, and no tags."""
        start = self.start[0]
        return {
            "data": {"snapshot": self.snapshot.number, "rows": self.snapshot.counts},
            "base": self.base.name,
            "began_with": f"the adapter of run {start.run_id}" if start else "the base",
        }

    def _search_run(self) -> str:
        """The MLflow run under which those of the trials stand."""
        begun = self.context.ledger.decisions(self.context.model, "search", self.context.run)
        return begun[0]["detail"]["run_id"] if begun else replace(self, trial="").begin_search()

    def lineage(self) -> dict[str, Any]:
        """What it learns from, as MLflow is told."""
        learns = (
            of_snapshot(self.context, self.snapshot.number),
            of_base(self.context, str(self.base), self.base_hash),
        )
        replay, sampled = self.own.named if self.own else None, len(self.sampled.examples)
        return plain_lineage(*learns, sampled, replay=replay, start=self.start[0], canaries=len(self.canaries))

    def _keep_to_rows(self) -> None:
        """Note the rows beside the adapter, and drop one of other rows."""
        noted = self.adapter.with_name(ROWS)
        if noted.exists() and not self.is_of(self.rows_hash):
            shutil.rmtree(self.adapter, ignore_errors=True)
        noted.write_text(self.rows_hash, encoding="utf-8")

    def is_of(self, rows_hash: str) -> bool:
        """Whether what lies in the adapter's place was made of these rows."""
        noted = self.adapter.with_name(ROWS)
        return noted.exists() and noted.read_text(encoding="utf-8") == rows_hash

    def tune(self, stage: str, supervised: Callable[[], None]) -> tuple[str, Result]:
        """Train, with the curves in MLflow; the MLflow run and what came of it."""
        from sovereign_tasks.train import qlora, tracking
        from sovereign_tasks.train.plots import plot_lengths, plot_losses
        from sovereign_tasks.train.system_metrics import system_metrics

        context, (start, refused) = self.context, self.start
        if refused:
            log.warning("It starts fresh: %s.", refused)
        with (
            context.ledger.lease(self.lease, context.run) as held,
            hold_cards(context.ledger, context.run, self.training.gpus) as cards_held,
        ):
            self._keep_to_rows()
            if not qlora.read_metrics(self.adapter):
                wait_for_hours(context)

            def check() -> None:
                held()
                cards_held()
                supervised()

            train = partial(
                qlora.train,
                self.sampled.examples,
                self.training,
                self.base,
                self.adapter,
                start=Path(start.adapter) if start else None,
                validation=self.validation,
                own_chats=self.own.train if self.own else (),
                canaries=self.canaries,
                progress=lambda step, steps, loss: context.advance(stage, step, steps),
                check=check,
            )
            try:
                run_id = self.begin()
            except TransientError as away:
                log.warning("%s Training goes on, and tells it afterwards.", away)
                train()
                run_id = self.begin()
            try:
                with system_metrics(run_id), tracking.Curves(run_id) as curves:
                    result = train(on_metrics=curves)
                    curves(result.steps, measured_by(result))
            except UserError:
                with suppress(TransientError):
                    tracking.end_run(run_id, ok=False)
                raise
            losses, lengths = qlora.read_record(self.adapter)
            tracking.log_figures(run_id, {"loss.png": plot_losses(losses), "lengths.png": plot_lengths(lengths)})
        return run_id, result

    def begin_search(self) -> str:
        """Begin the MLflow run of a search, or take it up again; its id."""
        run_id = self.begin()
        self.context.ledger.decide(self.context.model, "search", self.context.run, "begun", "", run_id=run_id)
        return run_id


def measured_by(result: Result) -> dict[str, float]:
    """What a training measured of the machine."""
    return {RATE: result.tokens_per_second} | result.card
