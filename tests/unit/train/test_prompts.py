"""What a training row is."""

from __future__ import annotations

from pathlib import Path

from sovereign_tasks.causal_lm import load_tokenizer
from sovereign_tasks.general import general_examples
from sovereign_tasks.train.prompts import encode, replay


def test_the_loss_is_on_the_answer_alone(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    examples = sorted(domain.train[:30], key=lambda e: e.example_id)
    for example, row in zip(examples, encode(examples, tokenizer, tuning).rows, strict=True):
        learned = [i for i in row["labels"] if i != -100]
        assert tokenizer.decode(learned) == example.answer + tokenizer.eos_token
        assert row["input_ids"][-len(learned) :] == learned
        hidden = tokenizer.decode(row["input_ids"][: -len(learned)])
        assert example.question in hidden
        assert tuning.system_prompt in hidden
        assert example.answer not in hidden


def test_rows_do_not_depend_on_the_order_they_come_in(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    forth, back = domain.train[:20], domain.train[:20][::-1]
    assert encode(forth, tokenizer, tuning).digest == encode(back, tokenizer, tuning).digest
    assert encode(forth[1:], tokenizer, tuning).digest != encode(back, tokenizer, tuning).digest


def test_examples_that_are_too_long_are_counted_and_not_cut(tiny_base: Path, domain, tuning) -> None:
    tokenizer = load_tokenizer(tiny_base)
    lengths = sorted(len(r["input_ids"]) for r in encode(domain.train, tokenizer, tuning).rows)
    limit = lengths[len(lengths) // 2]
    rows = encode(domain.train, tokenizer, tuning.model_copy(update={"max_length": limit}))
    assert rows.left_out == sum(n > limit for n in lengths) > 0
    assert max(len(r["input_ids"]) for r in rows.rows) == limit


def test_replay_is_the_share_asked_for_and_none_of_the_regression_set(tuning) -> None:
    examples = replay(100, tuning)
    assert len(examples) == 30
    measured = {e.question for e in general_examples(7, 120, "regression")}
    assert not measured & {e.question for e in examples}
    assert replay(100, tuning.model_copy(update={"replay_share": 0.0})) == []
