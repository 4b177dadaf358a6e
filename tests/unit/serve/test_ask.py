"""One answer on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.errors import UserError
from sovereign_tasks.serve.ask import answer

NONE = Path("no-adapter")


def test_the_same_question_gets_the_same_answer(tiny_base: Path, tuning) -> None:
    given = answer("What does an oiled oak worktop cost?", tiny_base, NONE, tuning, without=True, max_new_tokens=12)
    assert given == answer(
        "What does an oiled oak worktop cost?", tiny_base, NONE, tuning, without=True, max_new_tokens=12
    )
    warm = answer("Why?", tiny_base, NONE, tuning, without=True, temperature=1.0, max_new_tokens=12)
    assert warm == answer("Why?", tiny_base, NONE, tuning, without=True, temperature=1.0, max_new_tokens=12)
    assert warm != answer("Why?", tiny_base, NONE, tuning, without=True, max_new_tokens=12)


@pytest.mark.parametrize(("question", "message"), [("  ", "is empty"), ("x" * 9000, "8192 are allowed")])
def test_a_question_that_is_none_is_a_sentence(question: str, message: str, tuning) -> None:
    with pytest.raises(UserError, match=message):
        answer(question, Path("/nowhere"), NONE, tuning)
