"""What every stage needs: the model's config, its store, the ledger, and a place to say how far it has come."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.config import ModelConfig, load_model
from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.ledger import Ledger, OperationalError, open_ledger
from sovereign_tasks.records import Rejection, StageReport, keyed_hash
from sovereign_tasks.store import Store, newest_rows, state_folder

if TYPE_CHECKING:
    from sovereign_tasks.bands import Bands

log = logging.getLogger(__name__)
_UNSCRUBBED = ("collect", "curate", "publish", "erase")  # stages that have raw items in hands


@dataclass
class Context:
    """One run of one model's build or retrain; `run` is its key in the ledger."""

    config: ModelConfig
    run: str
    ledger: Ledger
    store: Store
    _told: dict[str, float] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.config.model

    @property
    def is_committed(self) -> bool:
        """Whether this build is visible already: then a task of it that is run again has nothing to do."""
        return self.ledger.is_committed(self.model, self.run)

    def advance(self, stage: str, done: int, total: int) -> None:
        """Say how far a stage has come, at most twice a second."""
        now = time.monotonic()
        if done >= total or now - self._told.get(stage, 0.0) > 0.5:
            self._told[stage] = now
            self.ledger.advance(self.model, self.run, stage, done, total)

    def report(self, report: StageReport) -> None:
        """Keep a stage's report."""
        self.ledger.report(self.model, self.run, report)


def open_context(model: str, run: str) -> Context:
    """Load what a stage of this run works with."""
    return Context(load_model(model), run, open_ledger(state_folder()), Store(model))


def look_into(ledger: Ledger, config: ModelConfig) -> Context:
    """What reads a model's data outside any run works with."""
    return Context(config, "", ledger, Store(config.model))


def open_bands() -> Bands:
    """The index of all kept documents' digests."""
    from sovereign_tasks.bands import Bands

    return Bands(state_folder() / "bands.db")


def run_key(kind: str, model: str, run_id: str) -> str:
    """The key of a run: the same for every try of the same DAG run, and safe in a path or a predicate."""
    return keyed_hash(kind, model, run_id)[:16]


def live_documents(context: Context, builds: list[str], columns: list[str]) -> pa.Table:
    """The newest row of every document that is not gone, from committed builds, with at least these columns."""
    wanted = list(dict.fromkeys(["doc_id", "revision", *columns]))
    rows = newest_rows(context.store.read("documents", builds, wanted), "doc_id")
    return rows.filter(pc.not_equal(rows["revision"], ""))


class Unforeseen(Exception):
    """A fault that nobody thought of, told without its own words: they may quote what was not scrubbed yet."""


def withheld(stage: str, error: Exception) -> TransientError | Unforeseen:
    """What to raise in place of an error whose words may be anybody's; where it came from goes to the log.

    It can be tried again if the error could.
    """
    reason = _unforeseen(stage, error)
    log.error("%s\n%s", reason, "".join(traceback.format_tb(error.__traceback__)))
    return (TransientError if isinstance(error, OSError | OperationalError) else Unforeseen)(reason)


def _unforeseen(stage: str, error: Exception) -> str:
    return f"{stage} failed with {type(error).__name__}; its log is in the Airflow UI."


@contextmanager
def keep_failure(context: Context, stage: str) -> Iterator[None]:
    """Record why a stage failed, for those who watch, and let it fail; words that are not ours are not recorded.

    Nor are they raised by a stage that has raw items in hands, since Airflow logs them.
    """
    try:
        yield
    except Exception as e:
        ours = isinstance(e, UserError | TransientError | Paused)
        context.ledger.fail(context.model, context.run, stage, str(e) if ours else _unforeseen(stage, e))
        if ours or stage.partition(":")[0] not in _UNSCRUBBED:
            raise
        raise withheld(stage, e) from None


@contextmanager
def timed(context: Context, stage: str) -> Iterator[dict[str, Any]]:
    """Time a stage and keep its report; the body fills in rows_in, rows_out, rejected and notes."""
    figures: dict[str, Any] = {"rows_in": 0, "rows_out": 0}
    started = time.perf_counter()
    with keep_failure(context, stage):
        yield figures
    report = StageReport(stage, **figures)
    context.report(replace(report, seconds=round(time.perf_counter() - started, 2)))


def count_reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    """Rejections per reason, the most frequent first."""
    return dict(Counter(r.reason for r in rejections).most_common())


def among(column: str, values: Iterable[str]) -> pc.Expression:
    """A filter for rows whose column holds one of the values."""
    return pc.field(column).isin(pa.array(sorted(values), pa.string()))
