"""A model's suite: what is derived of a night's rows, the figures of the whole batch, and what is expected of both.

Only derived columns are looked at (lengths, counts, scores, names of the owner's), never text: Great Expectations
quotes what it finds unexpected.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.records import Document, Example

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 10  # rows from which a share says something
FEWEST_NEW = 5  # new documents of a night from which their count and length do
NIGHTS = 3  # earlier nights that brought documents, from which there is a usual night
_SCORES = ("language_confidence", "quality", "relevance", "toxicity")
_OF_ROWS = "expect_column_values_to_be_between"


@dataclass(frozen=True)
class Volume:
    """How many new documents a night brought, and how long they are on average."""

    documents: int = 0
    mean_characters: float = 0.0


@dataclass(frozen=True)
class Batch:
    """A night in figures.

    Items `curated` and `rejected`; documents `compared` with all others and found to be `copies`, those kept that have
    the text of another (`equal` of `kept`); documents `before`, `removed` by the night and after it, by source; its
    `volume` at sources that were there before, and those of `earlier` nights.
    """

    curated: int = 0
    rejected: int = 0
    compared: int = 0
    copies: int = 0
    kept: int = 0
    equal: int = 0
    before: int = 0
    removed: int = 0
    after: Mapping[str, int] = field(default_factory=dict)
    volume: Volume = Volume()
    earlier: Sequence[Volume] = ()


@dataclass(frozen=True)
class Figure:
    """One figure of a batch, what it says of the night, and its bound with the setting that holds it."""

    column: str
    value: float
    said: str
    setting: str
    least: float | None = None
    most: float | None = None


def measure_documents(documents: pa.Table, count_pii: Callable[[str], int], seen: set[int]) -> pd.DataFrame:
    """What is derived of a part of the documents.

    `count_pii` counts personal data left in a text; `seen` gathers the texts of all parts, by hashes that stay here.
    """
    import pandas as pd

    texts = list(zip(documents["title"].to_pylist(), documents["text"].to_pylist(), strict=True))
    equal = []
    for pair in texts:
        equal.append(hash(pair) in seen)
        seen.add(hash(pair))
    return pd.DataFrame(
        {
            "row_id": documents["doc_id"].to_pylist(),
            "characters": pc.utf8_length(documents["text"]).to_pylist(),
            "equal": equal,
            "source": documents["source"].to_pylist(),
            "language": documents["language"].to_pylist(),
            "licence": documents["licence"].to_pylist(),
            "pii_left": [count_pii(f"{title}\n{text}") for title, text in texts],
            **{score: documents[score].to_numpy() for score in _SCORES},
        }
    )


def measure_examples(examples: pa.Table, count_pii: Callable[[str], int]) -> pd.DataFrame:
    """As `measure_documents`, of examples."""
    import pandas as pd

    rows = Example.from_table(examples)
    return pd.DataFrame(
        {
            "row_id": [e.example_id for e in rows],
            "question_characters": [len(e.question) for e in rows],
            "answer_characters": [len(e.answer) for e in rows],
            "turns": [len(e.messages) for e in rows],
            "documents": [len(e.doc_ids) for e in rows],
            "pii_left": [sum(count_pii(m["content"]) for m in e.messages) for e in rows],
        }
    )


def measure_volume(documents: pd.DataFrame) -> Volume:
    """The volume of documents that were measured."""
    return Volume(len(documents), round(float(documents["characters"].mean()), 1)) if len(documents) else Volume()


def compare_columns(tables: Mapping[str, pa.Schema]) -> pd.DataFrame:
    """The columns of what was handed on beside those that it should have, a row each."""
    import pandas as pd

    wanted = {"documents": Document.schema, "examples": Example.schema}
    rows = []
    for name, there in tables.items():
        for column in wanted[name]:
            found = there.field(column.name).type if column.name in there.names else "missing"
            # Parquet names the entries of lists in its own way, which makes no other type.
            rows.append(
                (f"{name}.{column.name}", str(column.type if found == column.type else found), str(column.type))
            )
    return pd.DataFrame(rows, columns=["row_id", "type", "wanted"])


def figures(batch: Batch, config: ModelConfig) -> list[Figure]:
    """The figures of a batch that is large enough for each of them to say something."""
    return list(_figures(batch, config))


def _figures(batch: Batch, config: ModelConfig) -> Iterator[Figure]:
    rules, total = config.dataset.validation, sum(batch.after.values())
    yield Figure("documents", total, f"{total:,} after this night", "min_documents", least=rules.min_documents)

    def share(column: str, part: int, whole: int, said: str) -> Iterator[Figure]:
        if whole >= FEWEST:
            setting = "max_duplicate_share" if column == "equal_share" else f"max_{column}"
            yield Figure(column, round(part / whole, 4), said, setting, most=getattr(rules, setting))

    rejected, copies = f"of {batch.curated:,} items {batch.rejected:,} were rejected", f"{batch.copies:,} were copies"
    yield from share("rejected_share", batch.rejected, batch.curated, rejected)
    yield from share(
        "removed_share", batch.removed, batch.before, f"{batch.removed:,} of {batch.before:,} documents go"
    )
    yield from share("duplicate_share", batch.copies, batch.compared, f"of {batch.compared:,} documents {copies}")
    equal = f"{batch.equal:,} of {batch.kept:,} documents kept have the text of another"
    yield from share("equal_share", batch.equal, batch.kept, equal)
    if batch.after:
        source = max(sorted(batch.after), key=lambda name: batch.after[name])
        said = f"{batch.after[source]:,} of {total:,} documents are of the source {source}"
        yield from share("source_share", batch.after[source], total, said)
    earlier = [v for v in batch.earlier if v.documents]
    if len(earlier) < NIGHTS or batch.volume.documents < FEWEST_NEW:
        return
    for column, now, usual, said in (
        ("volume_drift", batch.volume.documents, [v.documents for v in earlier], "new documents"),
        (
            "length_drift",
            batch.volume.mean_characters,
            [v.mean_characters for v in earlier],
            "characters a new document",
        ),
    ):
        usually = statistics.median(usual)
        times = max(now / usually, usually / now) if now and usually else 1.0
        said = f"{now:,.0f} {said}, where {usually:,.0f} is usual"
        yield Figure(column, round(times, 3), said, "max_drift", most=rules.max_drift)


def expectations(config: ModelConfig, rows: Mapping[str, int]) -> dict[str, list[Any]]:
    """What is expected of the rows, by their kind; `rows` counts how many there are of each."""
    import great_expectations.expectations as gxe

    dataset = config.dataset
    known: dict[str, list[Any]] = {
        "columns": [gxe.ExpectColumnPairValuesToBeEqual(column_A="type", column_B="wanted")],
        "documents": [
            gxe.ExpectColumnValuesToNotBeNull(column="row_id"),
            gxe.ExpectColumnValuesToBeUnique(column="row_id"),
            gxe.ExpectColumnValuesToBeBetween(column="characters", min_value=1),
            gxe.ExpectColumnValuesToBeInSet(column="language", value_set=config.domain.languages),
            gxe.ExpectColumnValuesToBeBetween(column="pii_left", max_value=0),
            gxe.ExpectColumnValueLengthsToBeBetween(column="licence", min_value=1),
        ],
        "examples": [
            gxe.ExpectColumnValuesToNotBeNull(column="row_id"),
            gxe.ExpectColumnValuesToBeUnique(column="row_id"),
            gxe.ExpectColumnValuesToBeBetween(
                column="answer_characters", min_value=dataset.min_answer_chars, max_value=dataset.max_answer_chars
            ),
            gxe.ExpectColumnValuesToBeBetween(column="question_characters", min_value=8),
            gxe.ExpectColumnValuesToBeBetween(column="turns", min_value=2),
            gxe.ExpectColumnValuesToBeBetween(column="documents", min_value=1),
            gxe.ExpectColumnValuesToBeBetween(column="pii_left", max_value=0),
        ],
    }
    for one in dataset.validation.expectations:
        kind = "documents" if one.column in ("characters", *_SCORES) else "examples"
        if one.expect == _OF_ROWS or rows[kind] >= FEWEST:
            made = getattr(gxe, "".join(word.title() for word in one.expect.split("_")))
            known[kind].append(made(column=one.column, min_value=one.min_value, max_value=one.max_value))
    return known
