"""`rate`: a person says which of two answers is better, without knowing whose is whose."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.markup import escape

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.ledger import Ledger
from sovereign_tasks.stages.context import look_into
from sovereign_tasks.stages.rating import questions_for, rate, what_people_say
from sovereign_tasks.terminal.user import current_user

_CHOICES = {"1": 1, "2": -1, "=": 0}


def rate_answers(console: Console, ledger: Ledger, config: ModelConfig, answers: TextIO, *, rows: int) -> None:
    """Show up to `rows` pairs, one after another, and keep each choice at once; then say how they came out."""
    context, by = look_into(ledger, config), current_user()
    questions = questions_for(context, by)
    if not questions:
        console.print("You have rated every pair of the newest candidate.")
    else:
        console.print("Which answer is better? 1, 2, or = for neither; q ends, and the rest keeps for another time.")
    for number, question in enumerate(questions[:rows], start=1):
        console.print(f"\n[dim]{number} of {min(rows, len(questions))}[/]  [bold]{_plain(question.text)}[/]")
        for place, answer in enumerate(question.answers, start=1):
            console.print(f"\n[bold]{place}[/]  {_plain(answer)}", soft_wrap=True)
        choice = _choose(console, answers)
        if choice is None:
            break
        rate(context, question, by, choice)
    if said := what_people_say(context):
        console.print(f"\nRated so far: {escape(said)}.", soft_wrap=True)


def _choose(console: Console, answers: TextIO) -> int | None:
    """What is typed, once it is one of the choices; None to end."""
    while True:
        console.print("\n1, 2, = or q: ", end="")
        line = answers.readline()
        typed = line.strip().lower()
        if not line or typed == "q":
            return None
        if typed in _CHOICES:
            return _CHOICES[typed]


def _plain(text: str) -> str:
    """A text that neither marks up nor steers the terminal."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))
