"""`snapshots`, `diff` and `verify`: the versions of a dataset, and whether they are what was published."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.records import Example
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.snapshots import BY, Change, compare_words, diff, list_snapshots, read_texts, verify
from sovereign_tasks.terminal.summary import closing_table

_STYLES = {"same": "", "removed": "red strike", "added": "green"}
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def print_snapshots(console: Console, ledger: Ledger, config: ModelConfig) -> None:
    """One line a snapshot, the newest first."""
    listed = list_snapshots(look_into(ledger, config))
    if not listed:
        console.print(f"{config.model}: no snapshot yet; a night publishes one (`run {config.model}`).")
        return
    champions = {d["detail"]["snapshot"]: d["detail"]["version"] for d in reversed(ledger.moves(config.model))}
    table = closing_table("")
    for name in ("no.", "train", "holdout", "sealed", "joined", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("published", "content", "trained"):
        table.add_column(name, no_wrap=True)
    for one in listed:
        s = one.snapshot
        trained = f"version {champions[s.number]}" if s.number in champions else "yes" if one.runs else ""
        table.add_row(
            str(s.number),
            *(f"{s.counts.get(split, 0):,}" for split in ("train", "holdout", "sealed")),
            f"{one.joined:,}",
            f"{one.left:,}",
            s.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
            s.content_hash[:6],
            trained,
        )
    console.print(table)


def print_diff(console: Console, ledger: Ledger, config: ModelConfig, before: int, after: int, *, limit: int) -> None:
    """Counts by source, kind, label, split and reason, then the first changes in words."""
    context = look_into(ledger, config)
    found = diff(context, before, after)
    total = Counter(change.what for change in found.changes)
    console.print(
        f"{config.model}, snapshot {before} to {after}: {total['added']:,} added, {total['removed']:,} removed, "
        f"{total['changed']:,} changed, {found.unchanged:,} as they were"
    )
    if not found.changes:
        return
    table = closing_table("")
    table.add_column("")
    for name in ("added", "removed", "changed"):
        table.add_column(name, justify="right")
    for column in BY:
        for value, counts in sorted(found.counts[column].items()):
            numbers = (f"{counts[name]:,}" if counts[name] else "" for name in ("added", "removed", "changed"))
            table.add_row(Text(f"{column} {value or '–'}"), *numbers)
    for reason, count in found.reasons.most_common():
        table.add_row(Text(f"reason {reason}"), "", f"{count:,}", "")
    console.print(table)
    shown = found.changes[:limit]
    texts = read_texts(context, {i for change in shown for i in (change.old, change.new) if i})
    for change in shown:
        console.print()
        console.print(_in_words(change, texts), soft_wrap=True)
    if len(found.changes) > limit:
        console.print(f"\n{len(found.changes) - limit:,} more; --limit {len(found.changes)} shows all.")


def print_verified(console: Console, ledger: Ledger, config: ModelConfig) -> None:
    """What holds, a line each; a UserError says what does not."""
    verify(look_into(ledger, config), lambda line: console.print(f"  [green]ok[/] {line}"))
    console.print(f"All of {config.model} is as it was published.")


def _in_words(change: Change, texts: dict[str, Example]) -> Text:
    old, new = texts.get(change.old), texts.get(change.new)
    text = Text(f"{_SIGNS[change.what]} {change.new or change.old}", "bold")
    text.append(f"  {change.reason}\n" if change.what != "added" else "\n", "dim")
    if (change.old and not old) or (change.new and not new):
        return text.append("its words were erased", "dim")
    for ask, words in (("question", lambda e: e.question), ("answer", lambda e: e.answer)):
        text.append(f"  {ask}: ", "dim")
        for how, run in compare_words(words(old) if old else "", words(new) if new else ""):
            text.append(run.strip("\n") if how == "same" else run, _STYLES[how])
        text.append("\n")
    text.rstrip()
    return text
