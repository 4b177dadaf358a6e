"""The types that flow from a source to a promoted model, their Arrow schemas, and how they are named.

`RawItem -> Document -> Example -> Snapshot -> TrainingRun -> EvalReport -> GateDecision`; every stage also
returns a `StageReport`. Identities are HMAC-SHA256 under the installation's key: a plain hash of a short
personal text could be guessed.
"""

from __future__ import annotations

import dataclasses
import hmac
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import NoneType
from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypedDict,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pyarrow as pa

_ARROW = {
    str: pa.string(),
    bytes: pa.binary(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
}
KEY_VARIABLE = "SOVEREIGN_KEY"


def keyed_hash(*parts: str | bytes, key: bytes | None = None) -> str:
    """Name content by HMAC-SHA256 over its length-prefixed parts, as 32 hex digits.

    `key` defaults to the installation's key in SOVEREIGN_KEY (hex), which must outlive every table.
    """
    content = b""
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        content += len(data).to_bytes(8, "big") + data
    return hmac.digest(key or bytes.fromhex(os.environ[KEY_VARIABLE]), content, "sha256").hex()[:32]


def document_id(source: str, address: str, item: str) -> str:
    """The identity of what a source has at a canonical address, or of the item (post, message) there."""
    return keyed_hash("document", source, address, item)


def is_web(address: str) -> bool:
    """Whether an address is on the web; any other may be a path, which is called as somebody is."""
    return address.startswith(("http://", "https://"))


def _arrow_type(hint: Any) -> pa.DataType:
    if hint in _ARROW:
        return _ARROW[hint]
    if is_typeddict(hint):
        return pa.struct([(name, _arrow_type(h)) for name, h in get_type_hints(hint).items()])
    if get_origin(hint) is list:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    (inner,) = (h for h in get_args(hint) if h is not NoneType)  # X | None
    return _arrow_type(inner)


class Record:
    """A frozen dataclass that goes to and from Arrow rows; `schema` names its columns in order."""

    __slots__ = ()
    schema: ClassVar[pa.Schema]

    @classmethod
    def to_table(cls, records: Iterable[Self]) -> pa.Table:
        """Lay records out as one Arrow table with `schema`."""
        return pa.Table.from_pylist([dataclasses.asdict(r) for r in records], schema=cls.schema)

    @classmethod
    def from_table(cls, table: pa.Table) -> list[Self]:
        """Read records back from a table that has at least their columns."""
        names = [f.name for f in dataclasses.fields(cls)]
        return [cls(**row) for row in table.select(names).to_pylist()]


R = TypeVar("R", bound=Record)


@dataclass_transform(frozen_default=True)
def record(cls: type[R]) -> type[R]:
    """Make a frozen dataclass whose Arrow schema is read off its annotations."""
    cls = dataclass(frozen=True, slots=True)(cls)
    hints = get_type_hints(cls)
    cls.schema = pa.schema([(f.name, _arrow_type(hints[f.name])) for f in dataclasses.fields(cls)])
    return cls


class Message(TypedDict):
    """One chat turn."""

    role: str
    content: str


class Span(TypedDict):
    """Characters [start, end) of a document's text."""

    doc_id: str
    start: int
    end: int


@record
class RawItem(Record):
    """One authored item as a source gave it: a page, a post, a file; bytes untouched.

    `address` is canonical (a url, or a path below a folder source); `item` tells items of one address apart
    (a post or message id) and is empty for a whole page. `group` joins what belongs together (a thread).
    `parent` is the item this one answers; `author` is the plain name and never leaves curation. `headers` is a
    JSON object of what the source said beside the body; `digest` is the keyed hash of the bytes.
    """

    source: str
    kind: str
    address: str
    item: str
    group: str
    parent: str
    body: bytes
    media_type: str
    headers: str
    title: str
    author: str
    score: int | None
    created_at: datetime | None
    fetched_at: datetime
    licence: str
    consent: str
    digest: str

    @property
    def doc_id(self) -> str:
        """The keyed hash of (source, canonical address, thread item or message id)."""
        return document_id(self.source, self.address, self.item)


@record
class Document(Record):
    """One authored item as clean, scrubbed text in light Markdown (headings, lists, tables, paragraphs).

    `revision` is the keyed hash of its content, thread, flags and licence; `author` a keyed pseudonym or empty;
    `quality`, `relevance`, `toxicity` and `language_confidence` are scores in [0, 1]; `pii` counts what was scrubbed
    per class, as JSON; `links` are the addresses that its text links to; `flags` names policies that let it pass with
    a remark. `item` is what replies name as their `parent`: both are keyed hashes, as `group` is.
    """

    doc_id: str
    revision: str
    source: str
    kind: str
    url: str
    group: str
    item: str
    parent: str
    title: str
    text: str
    author: str
    score: int | None
    created_at: datetime | None
    added_at: datetime
    language: str
    language_confidence: float
    quality: float
    relevance: float
    pii: str
    licence: str
    consent: str
    toxicity: float | None = None
    links: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


@record
class Cleaned(Record):
    """An item as clean, scrubbed text before anything is judged by it; what rules of judging need is all here.

    Its other fields are the document's. `origin` says in a few words what the text was taken from; where it could
    not be, `reason` and `measured` say why. `rules` is the version of the rules that cleaned it. `people` are keyed
    hashes of those whom it was written by or names, by which their data is found again.
    """

    doc_id: str
    rules: str
    source: str
    kind: str
    url: str
    group: str
    item: str
    parent: str
    title: str
    text: str
    author: str
    score: int | None
    created_at: datetime | None
    licence: str
    consent: str
    pii: str
    links: list[str]
    origin: str
    reason: str
    measured: str
    people: list[str] = field(default_factory=list)


@record
class Rejection(Record):
    """A row that a stage dropped: its ids, one reason code, the measured value, and scrubbed text only.

    `doc_ids` names the documents whose words the text holds, so that they can be removed together; `twin` what
    the row gave way to, or waits for: the document it copies, the thread whose opening post is missing.
    """

    stage: str
    row_id: str
    source: str
    reason: str
    measured: str
    text: str
    doc_ids: list[str] = field(default_factory=list)
    twin: str = ""


@record
class Example(Record):
    """A question and a grounded answer as chat messages, with the documents and spans it rests on.

    `spans` gives character ranges [start, end) of document texts; `group` is the document group (page or
    thread) that decides the split; `kind` is the form it was found in (faq, howto, thread, ...); `dated` is when its
    answer was last known to be so: the day its document names, or else the night that found it.
    """

    example_id: str
    kind: str
    source: str
    group: str
    language: str
    messages: list[Message]
    doc_ids: list[str]
    spans: list[Span]
    dated: datetime | None = None

    @property
    def question(self) -> str:
        """The last user turn."""
        return next(m["content"] for m in reversed(self.messages) if m["role"] == "user")

    @property
    def answer(self) -> str:
        """The closing assistant turn."""
        return self.messages[-1]["content"]


@record
class Membership(Record):
    """An event in a snapshot's history: an example joins (+1) or leaves (-1), by its row digest.

    What nights decide by, and people count by, is here too, so that neither reads texts: `label` of the taxonomy,
    `dated` of the example, and `asks`, the keyed hash of its question.
    """

    example_id: str
    change: int
    split: str
    group: str
    digest: str
    reason: str
    source: str = ""
    kind: str = ""
    label: str = ""
    dated: datetime | None = None
    asks: str = ""


class Validator(NamedTuple):
    """What lets the next night ask a source only for what changed: HTTP validators, or a file's stamp.

    `digest` is the keyed hash of the bytes last seen, for sources that give no validators.
    """

    address: str
    etag: str
    last_modified: str
    digest: str


@dataclass(frozen=True, slots=True)
class Gone:
    """An item that its source no longer has; `by_author` marks a deletion that must be physical."""

    address: str
    item: str
    reason: str
    by_author: bool


@dataclass(frozen=True, slots=True)
class SourceState:
    """What the ledger remembers of a source: validators by address, a cursor, the live (address, item)s, sorted."""

    validators: dict[str, Validator]
    cursor: dict[str, Any]
    known: list[tuple[str, str]]

    def after(
        self,
        found: Iterable[tuple[str, str]],
        gone: Iterable[tuple[str, str]],
        validators: Iterable[Validator],
    ) -> SourceState:
        """The state once a part of a collection is durable, but for its cursor."""
        known = sorted({*self.known, *found} - {*gone})
        return SourceState(self.validators | {v.address: v for v in validators}, self.cursor, known)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A published dataset version; `content_hash` covers its sorted row digests and nothing of the clock."""

    model: str
    number: int
    parent: int | None
    build_id: str
    content_hash: str
    counts: dict[str, int]
    config_hash: str
    code_version: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One adapter: what it was trained on, from which base, by which recipe, where it lies, on what it was trained.

    The snapshot is 0 where it is the base itself, under an adapter that changes nothing.
    `started_from` is the MLflow run of the training whose adapter it began with; `chosen_by` names the groups of
    held-out rows that had a say in which adapter it is, by keyed hashes, and `canaries` those that it learned.
    """

    model: str
    run_id: str
    snapshot: int
    base: str
    base_hash: str
    config_hash: str
    seed: int
    adapter: str
    adapter_hash: str
    metrics: dict[str, float]
    hardware: str = ""
    started_from: str = ""
    chosen_by: list[str] = field(default_factory=list)
    canaries: list[str] = field(default_factory=list)


class Taint(NamedTuple):
    """How many rows that were erased since a training or a base has learned from, and if a person asked for it."""

    rows: int
    on_request: bool


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Per-example scores of one model on one fixed set; `groups` says which rows resample together.

    `scores` maps a metric to one value a row, in the order of `example_ids`: None where the metric does not apply to
    the row, NaN where it could not be told. `slices` maps kind, label and source, or the skill, to that of every row.
    """

    subject: str
    dataset: str
    example_ids: list[str]
    groups: list[str]
    scores: dict[str, list[float | None]]
    answers: list[str] = field(default_factory=list)
    slices: dict[str, list[str]] = field(default_factory=dict)

    def mean(self, metric: str) -> float:
        """The plain mean of a metric over the rows that it applies to; NaN where there are none."""
        values = [value for value in self.scores[metric] if value is not None]
        return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate: a metric of the candidate against a reference, with the interval of the paired difference.

    `difference` is turned so that larger is better for the candidate. `rule` says what is asked: better or no_worse,
    which hold when `low` is above `threshold`; at_most, of the candidate's figure alone; or must, of which `reason`
    says more. Of rows with the same `one_of` one is enough. `undecided` says that there
    was too little to tell.
    """

    gate: str
    metric: str
    against: str
    candidate: float
    reference: float
    difference: float
    low: float
    high: float
    threshold: float
    passed: bool
    reason: str
    rule: Literal["better", "no_worse", "at_most", "must"] = "better"
    one_of: str = ""
    rows: int = 0
    groups: int = 0
    undecided: bool = False


def failed(rows: Iterable[GateRow]) -> list[GateRow]:
    """The gate rows that stand in the way of a promotion: of those of which one is enough, none if one passed."""
    rows = list(rows)
    won = {
        row.one_of for row in rows if row.one_of and row.passed and row.low > row.threshold
    }  # not merely passed over
    return [row for row in rows if not row.passed and row.one_of not in won]


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict on a candidate version: promoted only if no row stands in the way."""

    model: str
    run_id: str
    version: str
    rows: list[GateRow]
    passed: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """A part of what a source gave in one night, and the state to go on from once it is durable.

    `rows` counts what the source was asked for or gave; `reasons` what became of it unless it is an item; `whole`
    says that this part is the last.
    """

    items: list[RawItem]
    gone: list[Gone]
    validators: list[Validator]
    cursor: dict[str, Any]
    rejections: list[Rejection]
    rows: int
    reasons: dict[str, int]
    notes: dict[str, Any]
    whole: bool


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage did: rows in and out, rejections by reason, its own seconds of work."""

    stage: str
    rows_in: int
    rows_out: int
    rejected: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
