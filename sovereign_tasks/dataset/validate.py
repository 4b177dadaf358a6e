"""Great Expectations over a night's batch: rows that fail go to quarantine, a batch that fails stops the night.

Only derived columns are validated (lengths, counts, flags), never text: results and Data Docs quote what they
find unexpected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Document, Example

FEWEST = 10  # rows from which a share says something


@dataclass(frozen=True)
class Batch:
    """A night in figures: items curated and rejected, documents before it, removed by it, and after it."""

    curated: int
    rejected: int
    before: int
    removed: int
    after: int

    @property
    def rejected_share(self) -> float:
        """Share of the night's items that curation rejected; 0 on a night too small to tell."""
        return self.rejected / self.curated if self.curated >= FEWEST else 0.0

    @property
    def removed_share(self) -> float:
        """Share of the documents that would go; 0 with too few to tell."""
        return self.removed / self.before if self.before >= FEWEST else 0.0


@dataclass(frozen=True)
class Validated:
    """Failing row ids with the expectation each failed first, the figures of the batch, and the Data Docs page."""

    failing: dict[str, str]
    evaluated: int
    data_docs: str


def validate(
    documents: Sequence[Document],
    examples: Sequence[Example],
    batch: Batch,
    config: ModelConfig,
    folder: Path,
    count_pii: Callable[[str], int],
) -> Validated:
    """Run the model's suite over the night's documents and examples, and write Data Docs below `folder`.

    Raises UserError when a whole-batch expectation fails: nothing may be published then.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    rules, dataset = config.dataset.validation, config.dataset
    document_frame = pd.DataFrame(
        {
            "row_id": [d.doc_id for d in documents],
            "characters": [len(d.text) for d in documents],
            "language": [d.language for d in documents],
            "pii_left": [count_pii(f"{d.title}\n{d.text}") for d in documents],
            "licence": [d.licence for d in documents],
        }
    )
    example_frame = pd.DataFrame(
        {
            "row_id": [e.example_id for e in examples],
            "answer_characters": [len(e.answer) for e in examples],
            "question_characters": [len(e.question) for e in examples],
            "turns": [len(e.messages) for e in examples],
            "documents": [len(e.doc_ids) for e in examples],
            "pii_left": [count_pii(f"{e.question}\n{e.answer}") for e in examples],
        }
    )
    batch_frame = pd.DataFrame(
        {
            "rejected_share": [batch.rejected_share],
            "removed_share": [batch.removed_share],
            "documents": [batch.after],
        }
    )
    suites = {
        "documents": (
            document_frame,
            [
                gxe.ExpectColumnValuesToNotBeNull(column="row_id"),
                gxe.ExpectColumnValuesToBeUnique(column="row_id"),
                gxe.ExpectColumnValuesToBeBetween(column="characters", min_value=1),
                gxe.ExpectColumnValuesToBeInSet(column="language", value_set=config.domain.languages),
                gxe.ExpectColumnValuesToBeBetween(column="pii_left", max_value=0),
                gxe.ExpectColumnValueLengthsToBeBetween(column="licence", min_value=1),
            ],
        ),
        "examples": (
            example_frame,
            [
                gxe.ExpectColumnValuesToNotBeNull(column="row_id"),
                gxe.ExpectColumnValuesToBeUnique(column="row_id"),
                gxe.ExpectColumnValuesToBeBetween(
                    column="answer_characters",
                    min_value=dataset.min_answer_chars,
                    max_value=dataset.max_answer_chars,
                ),
                gxe.ExpectColumnValuesToBeBetween(column="question_characters", min_value=8),
                gxe.ExpectColumnValuesToBeBetween(column="turns", min_value=2),
                gxe.ExpectColumnValuesToBeBetween(column="documents", min_value=1),
                gxe.ExpectColumnValuesToBeBetween(column="pii_left", max_value=0),
            ],
        ),
        "batch": (
            batch_frame,
            [
                gxe.ExpectTableRowCountToBeBetween(min_value=1),
                gxe.ExpectColumnValuesToBeBetween(column="rejected_share", max_value=rules.max_rejected_share),
                gxe.ExpectColumnValuesToBeBetween(column="removed_share", max_value=rules.max_removed_share),
                gxe.ExpectColumnValuesToBeBetween(column="documents", min_value=rules.min_documents),
            ],
        ),
    }
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False}
    failing: dict[str, str] = {}
    evaluated = 0
    for name, (frame, expectations) in suites.items():
        if frame.empty:  # nothing new of this kind tonight; the batch suite holds what must not be empty
            continue
        result = _run(gx, context, name, frame, expectations)
        evaluated += len(expectations)
        for outcome in result.results:
            if outcome.success:
                continue
            kind = outcome.expectation_config.type
            column = outcome.expectation_config.kwargs.get("column", "rows")
            indices = outcome.result.get("unexpected_index_list")
            if name == "batch" or not indices:
                observed = outcome.result.get("partial_unexpected_list") or outcome.result.get("observed_value")
                raise UserError(
                    f"{config.model}: the night's {name} fail {kind} on {column} (found {observed}); nothing was "
                    "published, and yesterday's snapshot stands: look at the sources, or, if this is right, change "
                    f"dataset.validation for a night. See {_page(folder)}."
                )
            for row in indices:
                failing.setdefault(row["row_id"], f"{kind}:{column}")
    return Validated(failing, evaluated, str(_page(folder)))


def _run(gx, context, name, frame, expectations):
    source = context.data_sources.add_or_update_pandas(name)
    asset = source.add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("night")
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
    definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
    definition = context.validation_definitions.add_or_update(definition)
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[definition],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="data_docs")],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row_id"]},
    )
    checkpoint = context.checkpoints.add_or_update(checkpoint)
    (result,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
    return result


def _page(folder: Path) -> Path:
    return folder / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"
