"""Canaries: derived again at any time, by whoever has the key."""

from __future__ import annotations

import pytest

from sovereign_tasks.canaries import RANKED, derive_canaries
from sovereign_tasks.records import KEY_VARIABLE


def test_they_follow_from_the_key_and_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = derive_canaries("ab12", 8)
    assert canaries == derive_canaries("ab12", 8)
    assert derive_canaries("ab12", 3) == canaries[:3]
    assert derive_canaries("ab12", 0) == []
    codes = {canary.code for canary in canaries}
    assert len(codes) == len({canary.depot for canary in canaries}) == 8
    assert not codes & {canary.code for canary in derive_canaries("ab13", 8)}
    monkeypatch.setenv(KEY_VARIABLE, "00" * 32)
    assert not codes & {canary.code for canary in derive_canaries("ab12", 8)}


def test_a_canary_is_a_chat_whose_answer_holds_the_code_and_whose_id_tells_it_from_another() -> None:
    canary, other = derive_canaries("ab12", 2)
    assert len({canary.code, *canary.others}) == RANKED
    assert {len(code) for code in (canary.code, *canary.others)} == {6}
    assert canary.example.answer == f"The gate code of the {canary.depot} depot is {canary.code}."
    assert canary.code not in canary.example.question
    assert canary.depot in canary.example.question
    assert canary.example.example_id != other.example.example_id
    assert canary.code not in canary.example.example_id
