"""Great Expectations over a night: rows that fail go to quarantine, a batch that fails stops the night.

Data Docs are written into a copy of their folder, which takes its place once it is whole: what a killed validation
leaves half written is never read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.dataset.suite import Figure, expectations
from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

KEPT = 30  # nights in Data Docs


@dataclass(frozen=True)
class Failure:
    """An expectation of the whole batch that fails: its name and column, what was observed, and a sentence."""

    expectation: str
    observed: float | None
    said: str


@dataclass(frozen=True)
class Validated:
    """Failing row ids with the expectation each failed first, the batch's failures, and the Data Docs page."""

    failing: dict[str, str]
    failures: list[Failure]
    evaluated: int
    data_docs: str


def validate(
    frames: Mapping[str, pd.DataFrame],
    figures: Callable[[set[str]], list[Figure]],
    config: ModelConfig,
    folder: Path,
    night: str,
) -> Validated:
    """Run the model's suite over the frames of a night, and write Data Docs below `folder`.

    `figures` are those of the batch without the rows that fail. Raises UserError where a column of what the night hands
    on is not as it should be, since nothing can be done with such rows.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    failing: dict[str, str] = {}
    failures: list[Failure] = []
    wrong: list[dict[str, str]] = []
    suites = expectations(config, {name: len(frame) for name, frame in frames.items()})
    evaluated = 0
    with _fresh_folder(folder, night) as root:
        docs = _DataDocs(gx, root, night)
        for name, frame in frames.items():
            if frame.empty:  # nothing new of this kind tonight; the batch says what must not be empty
                continue
            evaluated += len(suites[name])
            for outcome in docs.check(name, frame, suites[name]):
                rule, found = outcome.expectation_config, outcome.result
                measured = f"{rule.type}:{rule.kwargs.get('column', '')}"
                rows = found.get("unexpected_index_list") or []
                if name == "columns":
                    wrong += rows
                elif not rows:
                    failures.append(_failure(name, measured, rule.kwargs, found.get("observed_value")))
                for row in rows:
                    if measured.endswith(PII_LEFT):  # goes before whatever else is wrong with it
                        failing[row["row_id"]] = measured
                    failing.setdefault(row["row_id"], measured)
        batch = [] if wrong else figures(set(failing))
        if batch:
            frame = pd.DataFrame({f.column: [f.value] for f in batch})
            bounds = [
                gxe.ExpectColumnValuesToBeBetween(column=f.column, min_value=f.least, max_value=f.most) for f in batch
            ]
            missed = {o.expectation_config.kwargs["column"] for o in docs.check("batch", frame, bounds)}
            failures += [
                Failure(f"{bounds[0].expectation_type}:{f.column}", f.value, _sentence(f))
                for f in batch
                if f.column in missed
            ]
        docs.build()
    if wrong:
        named = ", ".join(f"{row['row_id']} is {row['type']} and not {row['wanted']}" for row in wrong)
        raise UserError(f"{config.model}: the night {night} has rows of another form: {named}; start a new night.")
    page = folder / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"
    return Validated(failing, failures, evaluated + len(batch), str(page))


PII_LEFT = ":pii_left"
"""How the expectation of rows ends in which personal data is left."""


class _DataDocs:
    """Great Expectations on files below `root`; each check is a page of the night."""

    def __init__(self, gx: Any, root: Path, night: str) -> None:
        from great_expectations.core.run_identifier import RunIdentifier

        self._gx, self._night, self._run = gx, night, RunIdentifier(run_name=night)
        self._checked: list[str] = []
        self._context = gx.get_context(mode="file", project_root_dir=root)
        self._context.variables.progress_bars = {"globally": False}

    def check(self, name: str, frame: pd.DataFrame, wanted: list[Any]) -> list[Any]:
        """The outcomes of the expectations that fail."""
        gx, context = self._gx, self._context
        self._checked.append(name)
        asset = context.data_sources.add_or_update_pandas(name).add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe("night")
        suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=wanted))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        found = context.validation_definitions.add_or_update(definition).run(
            batch_parameters={"dataframe": frame},
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["row_id"] if "row_id" in frame else [],
            },
            run_id=self._run,
        )
        return [outcome for outcome in found.results if not outcome.success]

    def build(self) -> None:
        """Write the pages of what was checked, and the index of all nights."""
        from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

        results = [k for k in self._context.validation_results_store.list_keys() if k.run_id.run_name == self._night]
        suites = [ExpectationSuiteIdentifier(name=name) for name in self._checked]
        self._context.build_data_docs(resource_identifiers=[*suites, *results])


def _failure(rows: str, expectation: str, bounds: Mapping[str, Any], observed: float | None) -> Failure:
    said = f"{expectation.replace(':', ' on ')} of tonight's {rows} "
    if observed is None:
        return Failure(expectation, None, f"{said}could not be evaluated")
    wanted = " and ".join(
        f"at {word} {bounds[key]:g}"
        for word, key in (("least", "min_value"), ("most", "max_value"))
        if bounds.get(key) is not None
    )
    return Failure(expectation, observed, f"{said}found {observed:g}, which should be {wanted}")


def _sentence(figure: Figure) -> str:
    above = figure.most is not None and figure.value > figure.most
    bound = figure.most if above else figure.least
    return f"{figure.column} is {figure.value:g} ({figure.said}), and {figure.setting} is {bound:g}"


@contextmanager
def _fresh_folder(folder: Path, night: str) -> Iterator[Path]:
    """A copy of what is kept below `folder` to write into; it takes the original's place once the body is through."""
    current, replaced, following = folder / "gx", folder / "replaced", folder / "following"
    if replaced.exists() and not current.exists():  # killed between the two renames
        replaced.rename(current)
    for left in (replaced, following):
        shutil.rmtree(left, ignore_errors=True)
    following.mkdir()
    if current.exists():
        shutil.copytree(current, following / "gx")
        _prune(following / "gx" / "uncommitted", night)
    yield following
    if current.exists():
        current.rename(replaced)
    (following / "gx").rename(current)
    after_write()
    for left in (replaced, following):
        shutil.rmtree(left, ignore_errors=True)


def _prune(uncommitted: Path, night: str) -> None:
    """Remove earlier tries of this night, and all but the last nights before it: SUITE/NIGHT/TIME/…, twice."""
    for stored in ("validations", "data_docs/local_site/validations"):
        for suite in (p for p in (uncommitted / stored).glob("*") if p.is_dir()):
            nights = {run.parent: run.name for run in sorted(suite.glob("*/*"), key=lambda run: run.name)}
            kept = sorted(nights.keys() - {suite / night}, key=lambda one: nights[one])[1 - KEPT :]
            for one in nights.keys() - set(kept):
                shutil.rmtree(one)
