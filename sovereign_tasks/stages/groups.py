"""The document groups that a night touches, and their documents some groups at a time.

A group is derived whole, since a thread's best answer depends on all of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

import pyarrow as pa

from sovereign_tasks.records import Document
from sovereign_tasks.stages.context import Context, among, live_documents
from sovereign_tasks.stages.parts import staged_parts, staged_rows

_AT_ONCE = 2000  # documents


class Groups:
    """The groups as they will stand once the night is published."""

    def __init__(self, context: Context, builds: list[str]) -> None:
        self._context, self._builds = context, builds
        tonight = staged_rows(context, "kept", Document.schema).select(["doc_id", "group"])
        self._kept = dict(zip(*(tonight[c].to_pylist() for c in ("doc_id", "group")), strict=True))
        self._replaced = {*self._kept, *context.store.staged(context.run, "removed")["doc_id"].to_pylist()}
        self._live = live_documents(context, builds, ["group"])

    def every(self) -> set[str]:
        """All groups, those that lose their last document tonight included."""
        return {*self._kept.values(), *self._live["group"].unique().to_pylist()}

    def touched(self, released: Collection[str]) -> set[str]:
        """The groups of which a document is new, changed or goes, or a held example (by id) was released."""
        store, builds = self._context.store, self._builds if released else []
        held = store.read("quarantine", builds, ["row_id", "doc_ids"]).filter(among("row_id", released))
        let_in = {doc_id for doc_ids in held["doc_ids"].to_pylist() for doc_id in doc_ids}
        changed = self._live.filter(among("doc_id", self._replaced | let_in))
        return {*self._kept.values(), *changed["group"].to_pylist()}

    def documents(self, groups: set[str]) -> Iterator[list[Document]]:
        """All documents of these groups, whole groups together."""
        older = self._live.filter(among("group", groups) & ~among("doc_id", self._replaced))
        left = Counter(older["group"].to_pylist())
        left.update(group for group in self._kept.values() if group in groups)
        members: defaultdict[str, list[Document]] = defaultdict(list)
        whole: list[Document] = []
        for part in self._parts(older):
            for document in Document.from_table(part.filter(among("group", groups))):
                members[document.group].append(document)
                left[document.group] -= 1
                if not left[document.group]:
                    whole += members.pop(document.group)
            if len(whole) >= _AT_ONCE:
                yield whole
                whole = []
        if whole:
            yield whole

    def _parts(self, older: pa.Table) -> Iterator[pa.Table]:
        yield from staged_parts(self._context, "kept")
        written = dict(zip(*(older[c].to_pylist() for c in ("doc_id", "build_id")), strict=True))
        builds = {*written.values()}
        names = Document.schema.names
        scanned = self._context.store.scan("documents", [b for b in self._builds if b in builds], names)
        for part in scanned:
            rows = zip(part["doc_id"].to_pylist(), part["build_id"].to_pylist(), strict=True)
            yield part.filter(pa.array([written.get(doc_id) == build for doc_id, build in rows], pa.bool_()))
