"""Stages that run at once compute on cards of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sovereign_tasks.errors import Paused
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.stages.cards import VISIBLE, hold_cards
from sovereign_tasks.train.device import visible_cards


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


def test_each_gets_a_free_card_and_sees_no_other(two_cards: None, state: Path) -> None:
    ledger = open_ledger(state)
    with hold_cards(ledger, "first"):
        assert os.environ[VISIBLE] == "0"
        del os.environ[VISIBLE]  # another process would see them all
        with hold_cards(ledger, "second"):
            assert os.environ[VISIBLE] == "1"
            del os.environ[VISIBLE]
            with pytest.raises(Paused, match="1 of this machine's 2 cards are needed, and 0 of them free"):
                hold_cards(ledger, "third").__enter__()
            os.environ[VISIBLE] = "1"
        with pytest.raises(Paused, match="2 of this machine's 2 cards are needed, and 1 of them free"):
            hold_cards(ledger, "third", 2).__enter__()
        os.environ[VISIBLE] = "0"
    assert VISIBLE not in os.environ
    with hold_cards(ledger, "third", 2) as check:
        assert os.environ[VISIBLE] == "0,1"
        check()
    assert not ledger.is_held(f"gpu/{os.uname().nodename}/0")


def test_cards_go_by_the_names_that_this_process_was_given(two_cards: None, state: Path, monkeypatch) -> None:
    monkeypatch.setenv(VISIBLE, "GPU-5f,3")
    assert visible_cards() == ["GPU-5f", "3"]
    with hold_cards(open_ledger(state), "first"):
        assert os.environ[VISIBLE] == "GPU-5f"
    assert os.environ[VISIBLE] == "GPU-5f,3"


def test_nothing_changes_where_there_is_no_card(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with hold_cards(open_ledger(state), "first", 2), hold_cards(open_ledger(state), "second"):
        assert VISIBLE not in os.environ
