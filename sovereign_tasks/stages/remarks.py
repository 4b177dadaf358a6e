"""What a person should know of a night or a candidate beyond its figures, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sovereign_tasks.evaluate.probes import MET
from sovereign_tasks.ledger import Ledger


def remarks(ledger: Ledger, model: str, build_id: str) -> list[str]:
    """Sentences on what was accepted, removed for good, or waits for a fetch in full; none on an ordinary night."""
    manifest = ledger.manifest(model, build_id)
    said = [
        f"{one['said']}: accepted by {one['by']}, {one['reason'].rstrip('.')}." for one in manifest.get("accepted", ())
    ]
    if removed := len(manifest.get("purged", {}).get("documents", ())):
        learned = who_learned(ledger, model, manifest.get("learned", {}))
        models = f"; of their examples {', '.join(learned)}" if learned else "; no model had learned from any"
        said.append(f"{_items(removed)} deleted by the author and removed from every table{models}.")
    if stale := manifest.get("stale"):
        said.append(f"{_items(stale)} made by older rules; the next fetch of each is in full.")
    return said


def who_learned(ledger: Ledger, model: str, learned: Mapping[str, int]) -> list[str]:
    """From how many rows each base (by hash) and each training (by its MLflow run) has learned, as a person says it."""
    names = {d["detail"]["run_id"]: f"version {d['detail']['version']}" for d in ledger.decisions(model, "gate")}
    names |= {base["base_hash"]: f"the base {Path(base['path']).name}" for base in ledger.bases(model)}
    return [f"{names.get(one, f'run {one[:8]}')} learned from {count:,}" for one, count in learned.items()]


def tell_edge_cases(ledger: Ledger, model: str, run: str, *, faults: bool = False) -> str:
    """How many of the owner's edge cases a run's candidate met, and which not, with their faults if asked for."""
    notes = next((report.notes for report in ledger.reports(model, run) if report.stage == "evaluate"), {})
    cases = notes.get("probes", {}).get("edge cases", {})
    missed = [f"{name} ({wrong})" if faults else name for name, wrong in cases.items() if wrong != MET]
    said = f"{len(cases) - len(missed)} of {len(cases)} met" if cases else ""
    return said + (f"; not met: {', '.join(missed)}" if missed else "")


def _items(count: int) -> str:
    return f"{count:,} item{'s' if count > 1 else ''} {'were' if count > 1 else 'was'}"
