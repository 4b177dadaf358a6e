from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from sovereign_tasks.platform.interrupts import Interrupted, Interrupts


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    made = Interrupts()
    made.install()
    yield made
    made.restore()


@pytest.mark.parametrize("one", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_an_exception(interrupts: Interrupts, one: signal.Signals) -> None:
    with pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), one)
    assert caught.value.signum == one


def test_a_shielded_block_ends_first(interrupts: Interrupts) -> None:
    done = []

    def block() -> None:
        with interrupts.shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("whole")
        done.append("after")

    with pytest.raises(Interrupted):
        block()
    assert done == ["whole"]


def test_while_closing_a_signal_only_hurries(interrupts: Interrupts) -> None:
    interrupts.closing = True
    os.kill(os.getpid(), signal.SIGINT)
    assert interrupts.hurry


def test_the_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = Interrupts()
    made.install()
    assert signal.getsignal(signal.SIGTERM) != before
    made.restore()
    assert signal.getsignal(signal.SIGTERM) == before
