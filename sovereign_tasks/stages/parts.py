"""What one task of a night hands to the next in parts, so that raw items are in memory a part at a time.

The texts of a night that are kept or rejected are later held whole.

A source's collection waits with a state as the last file of each part, which counts once its state is there: one that
was killed goes on from its last whole part. All other tasks write their parts from the first again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from sovereign_tasks.records import Collected, RawItem, Rejection, SourceState, Validator, document_id, is_web
from sovereign_tasks.stages.context import Context

_KEYS = ["address", "item"]
RULES, RELEASED = "rules", "released"
"""Where a table that is handed on says which rules of curation its rows went through, and what was released."""


class Parts:
    """The parts of one source's collection, those of an earlier try included; none of them is kept in memory."""

    def __init__(self, context: Context, source: str) -> None:
        self._context, self._source = context, source
        self._names = context.store.staged_names(context.run, f"state-{source}.")
        self.whole = bool(self._names) and _read_json(context, self._names[-1])["whole"]
        """Whether the last part is there, and only `close` is wanting."""

    def hand_on(self, part: Collected) -> None:
        """Make a part durable."""
        from sovereign_tasks.curate.pii import scrub

        store, run, name = self._context.store, self._context.run, f"{self._source}.{len(self._names):05}"
        how = self._context.config.curation.personal_data
        # The ledger alone knows the address of a file, in which no rule may find a name.
        shown = [scrub(r.text, settings=how).text if is_web(r.text) else "" for r in part.rejections]
        rejections = [replace(r, text=text) for r, text in zip(part.rejections, shown, strict=True)]
        state = {
            "found": [[i.address, i.item] for i in part.items],
            "gone": [asdict(g) for g in part.gone],
            "validators": [v._asdict() for v in part.validators],
            "rows": part.rows,
            "reasons": part.reasons,
            "notes": part.notes,
            "whole": part.whole,
        }
        store.stage(run, f"raw-{name}", RawItem.to_table(part.items))
        store.stage(run, f"rejected-collect-{name}", Rejection.to_table(rejections))
        _write_json(self._context, f"cursor-{name}", part.cursor)  # by itself, as it may be large
        _write_json(self._context, f"state-{name}", state)
        self._names.append(f"state-{name}")

    def resume(self, state: SourceState) -> SourceState:
        """The state to go on from: the ledger's, and what earlier parts of this night add to it."""
        for part in self._states():
            found = [tuple(pair) for pair in part["found"]]
            gone = [(g["address"], g["item"]) for g in part["gone"]]
            state = state.after(found, gone, [Validator(**v) for v in part["validators"]])
        return replace(state, cursor=self.cursor()) if self._names else state

    def close(self) -> dict[str, Any]:
        """Say what all parts together found and lost; the figures of the stage's report.

        Of an item that came twice the later copy counts, and one that went after it came is gone.
        """
        found: dict[tuple[str, str], int] = {}
        gone: dict[tuple[str, str], dict[str, Any]] = {}
        reasons: Counter[str] = Counter()
        notes: Counter[str] = Counter()
        rows = 0
        for number, part in enumerate(self._states()):
            for address, item in part["found"]:
                found[address, item] = number
                gone.pop((address, item), None)
            for one in part["gone"]:
                gone[one["address"], one["item"]] = one
                found.pop((one["address"], one["item"]), None)
            reasons += Counter(part["reasons"])
            notes.update(part["notes"])
            rows += part["rows"]
        whole = {
            "found": [[*key, number] for key, number in sorted(found.items())],
            "gone": [gone[key] for key in sorted(gone)],
        }
        _write_json(self._context, f"collected-{self._source}", whole)
        return {
            "rows_in": rows,
            "rows_out": len(found),
            "rejected": dict(sorted(reasons.items())),
            "notes": dict(sorted(notes.items())) | {"gone": len(gone)},
        }

    def validators(self) -> list[Validator]:
        """What the next night compares with, the newest of each."""
        newest = {v["address"]: v for part in self._states() for v in part["validators"]}
        return [Validator(**newest[address]) for address in sorted(newest)]

    def cursor(self) -> dict[str, Any]:
        """Where the last part left off."""
        return _read_json(self._context, self._names[-1].replace("state-", "cursor-", 1))

    def _states(self) -> Iterator[dict[str, Any]]:
        return (_read_json(self._context, name) for name in self._names)


class PartWriter:
    """Hands rows on under a name, part by part; what an earlier try of the task left there goes first."""

    def __init__(self, context: Context, name: str) -> None:
        self._context, self._name, self._count = context, name, 0
        context.store.unstage(context.run, f"{name}.")

    def write(self, rows: pa.Table) -> None:
        """Hand on one part, unless it is empty."""
        if rows.num_rows:
            self._context.store.stage(self._context.run, f"{self._name}.{self._count:05}", rows)
            self._count += 1


def staged_parts(context: Context, name: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """What was handed on under a name, part by part; none where nothing was."""
    for part in context.store.staged_names(context.run, f"{name}."):
        yield context.store.staged(context.run, part, columns)


def staged_rows(context: Context, name: str, schema: pa.Schema) -> pa.Table:
    """All parts of a name as one table; `schema` is that of a night that handed nothing on."""
    return pa.concat_tables([schema.empty_table(), *staged_parts(context, name)])


def is_collected(context: Context, source: str) -> bool:
    """Whether the source's collection of this night is whole."""
    return f"collected-{source}" in context.store.staged_names(context.run, "collected-")


def collected_state(context: Context, source: str) -> dict[str, Any]:
    """What a source's collection leaves for the commit; `found` pairs, and each gone item with its doc_id."""
    whole = _read_json(context, f"collected-{source}")
    for gone in whole["gone"]:
        gone["doc_id"] = document_id(source, gone["address"], gone["item"])
    return whole | {"found": [(address, item) for address, item, _ in whole["found"]]}


def curated_again(context: Context, source: str) -> list[tuple[str, str]]:
    """Address and item of what was curated again tonight from bytes of an earlier night."""
    rows = context.store.staged(context.run, f"again-{source}")
    return list(zip(*(rows[key].to_pylist() for key in _KEYS), strict=True))


def rules_of(context: Context, source: str) -> str:
    """The rules that a source's items went through tonight."""
    return context.store.staged(context.run, f"again-{source}").schema.metadata[RULES.encode()].decode()


def taken_up(context: Context, source: str) -> list[str]:
    """What a person released of a source and has had its turn tonight, whatever came of it.

    That of what the source no longer has is among it: no later night need look for it.
    """
    return json.loads(context.store.staged(context.run, f"again-{source}").schema.metadata[RELEASED.encode()])


def raw_parts(context: Context, source: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """A night's raw items of a source, part by part, each item once; `columns` include address and item."""
    standing = {(a, i): n for a, i, n in _read_json(context, f"collected-{source}")["found"]}
    for number, rows in enumerate(staged_parts(context, f"raw-{source}", columns)):
        keys = zip(*(rows[key].to_pylist() for key in _KEYS), strict=True)
        yield rows.filter(pa.array([standing.get(key) == number for key in keys], pa.bool_()))


def collect_rejections(context: Context, source: str) -> pa.Table:
    """What a source's collection left out; a row that was asked for again after a kill stands there once."""
    parts = staged_parts(context, f"rejected-collect-{source}")
    rows = {r.row_id: r for part in parts for r in Rejection.from_table(part)}
    return Rejection.to_table(rows[row_id] for row_id in sorted(rows))


def _write_json(context: Context, name: str, value: Any) -> None:
    context.store.stage(context.run, name, pa.table({"json": [json.dumps(value)]}))


def _read_json(context: Context, name: str) -> Any:
    return json.loads(context.store.staged(context.run, name)["json"][0].as_py())
