"""Which of a machine's cards a stage computes on: such as no other holds, where several run at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta

from sovereign_tasks.errors import Paused, TransientError
from sovereign_tasks.ledger import Ledger

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOOK_AGAIN = timedelta(minutes=5)


@contextmanager
def hold_cards(ledger: Ledger, run: str, count: int = 1) -> Iterator[Callable[[], None]]:
    """Hold so many cards alone, and let this process and those it starts see no others; nothing where there are none.

    It has to come before the process first asks CUDA for anything. The body is given a function that raises what kept
    a card from being held on to; Paused where too few are free.
    """
    from sovereign_tasks.train.device import visible_cards

    seen, before = visible_cards(), os.environ.get(VISIBLE)
    mine: dict[str, Callable[[], None]] = {}
    with ExitStack() as held:
        for card in seen:
            if len(mine) < count:
                with suppress(TransientError):
                    mine[card] = held.enter_context(ledger.lease(f"gpu/{os.uname().nodename}/{card}", run))
        if len(mine) < count <= len(seen):
            raise Paused(
                f"{count} of this machine's {len(seen)} cards are needed, and {len(mine)} of them free: it waits for "
                "others to end.",
                datetime.now().astimezone() + LOOK_AGAIN,
            )

        def check() -> None:
            for still in mine.values():
                still()

        if mine:
            os.environ[VISIBLE] = ",".join(mine)
            held.callback(_show, before)
        yield check


def _show(cards: str | None) -> None:
    if cards is None:
        del os.environ[VISIBLE]
    else:
        os.environ[VISIBLE] = cards
