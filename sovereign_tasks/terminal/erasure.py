"""`find` and `erase`: what is held of a person, and its erasure; requests come by standard input, not as arguments."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.erasure import Preview, ask, preview
from sovereign_tasks.stages.people import KINDS, Line, read_request, show
from sovereign_tasks.stages.remarks import who_learned
from sovereign_tasks.terminal.run import find_platform

_TEXT_CHARS = 300


def print_found(console: Console, ledger: Ledger, config: ModelConfig, stdin: TextIO) -> None:
    """Each document that a request concerns, with where it lies and what is kept of its words."""
    context, request = look_into(ledger, config), _read(console, stdin)
    found = show(context, request)
    _tell_of_own_file(console, config)
    if not found:
        console.print(f"{config.model} has nothing that the request concerns.")
        return
    for one in found:
        console.print(f"\n[bold]{one.doc_id}[/]  {one.source}  found by {', '.join(one.found_by)}")
        if one.where:
            console.print(f"[dim]{escape(one.where)}[/]", soft_wrap=True)
        console.print(escape(one.text[:_TEXT_CHARS]) or "[dim](no text is kept of it)[/]", soft_wrap=True)
    console.print()
    _print_preview(console, preview(context, request), ledger, config.model)


def request_erasure(console: Console, ledger: Ledger, config: ModelConfig, stdin: TextIO, *, sure: bool) -> None:
    """Show what a request would touch; if `sure`, have it carried out."""
    context, request = look_into(ledger, config), _read(console, stdin)
    what = preview(context, request)
    _tell_of_own_file(console, config)
    if not what.documents:
        raise UserError(f"{config.model} has nothing that the request concerns; nothing was erased.")
    _print_preview(console, what, ledger, config.model)
    if not sure:
        console.print("\nNothing was erased. The same command with --yes erases it for good.")
        return
    request_id = ask(context, request)
    console.print(f"\nRequest {request_id} is sealed in the ledger.")
    dag_id = config.erase_dag
    try:
        client = find_platform(console).client
    except UserError:
        console.print(
            f"No platform is up on this state folder: start one with `up`, and trigger {dag_id} in Airflow with "
            f"request {request_id}, or give the same command again.",
            soft_wrap=True,
        )
        return
    client.unpause(dag_id)
    client.trigger(dag_id, {"request": request_id})
    console.print(
        f"{dag_id} carries it out once no night of {config.model} runs; its task `erase` has the certificate."
    )


def _read(console: Console, stdin: TextIO) -> list[Line]:
    if stdin.isatty():
        console.print(f"[dim]One line each, `kind: value`, of {', '.join(KINDS)}; end with Ctrl-D.[/]")
    return read_request(stdin.read())


def _tell_of_own_file(console: Console, config: ModelConfig) -> None:
    if file := config.training.replay:
        console.print(
            f"Not looked into: {escape(file)}, from which trainings replay; search it yourself.", soft_wrap=True
        )


def _print_preview(console: Console, what: Preview, ledger: Ledger, model: str) -> None:
    sources = ", ".join(f"{count:,} of {source}" for source, count in what.sources.items())
    console.print(f"  Documents  {len(what.documents):,} ({sources})", soft_wrap=True)
    console.print(f"  Rows       {', '.join(f'{n:,} {table}' for table, n in what.rows.items())}", soft_wrap=True)
    numbers = ", ".join(map(str, what.snapshots)) or "none"
    console.print(f"  Examples   {what.examples:,}, in snapshots {numbers}", soft_wrap=True)
    models = ", ".join(who_learned(ledger, model, what.models))
    console.print(f"  Models     {models or 'none learned from them'}", soft_wrap=True)
