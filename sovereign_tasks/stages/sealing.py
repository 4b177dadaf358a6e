"""The tables' files held against what was written: a flipped bit, a missing file, one that nobody wrote."""

from __future__ import annotations

from collections.abc import Collection

from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.ledger.seals import Seal
from sovereign_tasks.stages.context import Context

MEND = "restore the tables from a backup"


def seal(context: Context) -> None:
    """Note the files that are new, and forget those that were removed; under the lease of whoever writes them."""
    store, sealed = context.store, context.ledger.seals(context.model)
    there, named = store.files(), store.named_files()
    written = {path: Seal(size, store.hash_file(path)) for path, size in there.items() if path not in sealed}
    # What a log still names and is not there is lost, and stays to be missed.
    removed = {path for path in sealed.keys() - there.keys() if path not in named}
    context.ledger.reseal(context.model, written, removed)


def check_files(context: Context, tables: Collection[str], *, mine: bool = False) -> int:
    """Hash the files of these tables again, and count them.

    Raises UserError for the first that is not as it was written, TransientError where they are being written just now
    by others; `mine` says that the caller holds their lease.
    """
    while True:
        sealed = context.ledger.seals(context.model)
        fault, count = _find_fault(context, tables, sealed)
        if fault is None:
            return count
        if not mine and context.ledger.is_held(f"publish/{context.model}"):
            raise TransientError(f"The tables of {context.model} are being written; try again when that has ended.")
        if context.ledger.seals(context.model) == sealed:
            raise UserError(f"{context.model}: {fault}; {MEND}.")


def _find_fault(context: Context, tables: Collection[str], sealed: dict[str, Seal]) -> tuple[str | None, int]:
    store = context.store
    named, there = store.named_files(), store.files()
    mine = {path for path in {*sealed, *there} if path.partition("/")[0] in tables}
    for path in sorted(mine):
        try:
            if path not in there:
                if path in named:  # any other was removed by whoever was killed before it could say so
                    return f"the file {path} is missing", 0
                continue
            if path in sealed and (there[path], store.hash_file(path)) != sealed[path]:
                return f"the file {path} is not as it was written", 0
        except FileNotFoundError:
            return f"the file {path} is missing", 0
        if path not in sealed and path not in named and "/_delta_log/" not in path:
            return f"the file {path} was not written by a night", 0
    return None, len(mine)
