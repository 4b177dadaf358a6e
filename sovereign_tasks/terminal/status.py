"""`status`, `accept` and `ask`: how a model stands, a stopped night's acceptance, and what a model answers."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import PROJECT, ModelConfig
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.platform import default_state, find_running
from sovereign_tasks.stages.accept import STAGE, accept, stopped_night
from sovereign_tasks.stages.balance import read_balance
from sovereign_tasks.stages.context import look_into, run_key
from sovereign_tasks.stages.must_go import read_must_go
from sovereign_tasks.stages.rating import what_people_say
from sovereign_tasks.stages.serving import ask
from sovereign_tasks.terminal.run import find_platform
from sovereign_tasks.terminal.summary import print_balance, print_build, print_champion, print_evidence, print_retrain
from sovereign_tasks.terminal.user import current_user


def print_status(console: Console, ledger: Ledger, config: ModelConfig) -> None:
    """The last night, the balance of the dataset, the last training and the champion."""
    model = config.model
    builds = ledger.builds(model)
    if stopped := stopped_night(ledger, model):
        console.print(f"  Stopped    {escape(stopped)}", soft_wrap=True)
    elif not builds:
        how = f"`run {model}` runs one, or sees the one under way to its end"
        how = how if find_running(default_state(PROJECT)) else f"start one with `run {model} --up`"
        console.print(f"{model}: its file is in order; no night has been published yet; {how}.", soft_wrap=True)
    if requests := ledger.open_requests(model):
        console.print(
            f"  Erasure    {len(requests)} asked for and not carried out: {', '.join(requests)}; trigger "
            f"{config.erase_dag} with it, or give the same request again",
            soft_wrap=True,
        )
    if must_go := read_must_go(ledger, config):
        console.print(f"  Erased     {must_go}", soft_wrap=True)
    if ledger.held(f"train/{model}"):
        console.print("  Training   one is under way")
    if not builds:
        return
    print_build(console, ledger, model, builds[-1])
    print_balance(console, read_balance(ledger, config))
    print_evidence(console, look_into(ledger, config))
    verdicts = ledger.decisions(model, "gate")
    if verdicts:
        print_retrain(console, ledger, model, verdicts[0]["run"])
    if said := what_people_say(look_into(ledger, config)):
        console.print(f"  Rated      {escape(said)}", soft_wrap=True)
    print_champion(console, ledger, model)


def accept_night(console: Console, ledger: Ledger, build_id: str, reason: str) -> None:
    """Accept a stopped night, and let it go on from its validation where a platform runs that has it."""
    model = accept(ledger, build_id, reason, current_user())
    console.print(f"The night {build_id} of {model} is accepted.")
    dag_id = f"{model}_build"
    try:
        client = find_platform(console).client
    except UserError:
        console.print(
            "No platform is up on this state folder: start one with `up` and give the same command again. Where "
            f"Airflow runs elsewhere, clear the task `{STAGE}` and what follows it in the failed run of {dag_id}.",
            soft_wrap=True,
            markup=False,
        )
        return
    runs = [r["dag_run_id"] for r in client.runs(dag_id) if run_key("build", model, r["dag_run_id"]) == build_id]
    if not runs:
        raise UserError(f"Airflow no longer has the run of the night {build_id}; run a new night of {model}.")
    client.clear(dag_id, runs[0], STAGE)
    console.print(f"It goes on from `{STAGE}`; `status {model}` shows it once it is published.")


def print_answers(console: Console, ledger: Ledger, config: ModelConfig, question: str, *, beside_base: bool) -> None:
    """The champion's answer, with the base's above it if asked for."""
    for who, answer in ask(ledger, config, question, beside_base=beside_base).items():
        label = f"[bold]{who}[/]\n" if beside_base else ""
        console.print(f"{label}{escape(answer)}", soft_wrap=True)
