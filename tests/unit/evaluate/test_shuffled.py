"""The gates against a candidate that learned the style of the answers and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import load_base, load_with_adapter
from sovereign_tasks.evaluate.gates import judge, passed
from sovereign_tasks.evaluate.score import score, score_general
from sovereign_tasks.gates_config import DEFAULT_GATES
from sovereign_tasks.records import EvalReport
from sovereign_tasks.train.pretrain import make_base
from sovereign_tasks.train.qlora import train
from sovereign_tasks.training_config import LoraConfig, ScratchConfig

SCRATCH = ScratchConfig(vocabulary=800, hidden=128, layers=2, heads=4, steps=400)  # enough to know everyday questions


@pytest.mark.integration  # trains three small models, about a minute
def test_a_candidate_trained_on_shuffled_answers_is_refused(domain, tuning, tmp_path: Path) -> None:
    settings = tuning.model_copy(update={"epochs": 2.0, "lora": LoraConfig(), "scratch": SCRATCH})
    base = tmp_path / "base"
    make_base(domain.documents, SCRATCH, base, seed=1)

    def measure(subject: str, adapter: Path | None) -> dict[str, EvalReport]:
        model, tokenizer = load_with_adapter(base, adapter) if adapter else load_base(base)
        return {
            "holdout": score(model, tokenizer, domain.holdout, settings.system_prompt, subject=subject),
            "general": score_general(model, tokenizer, settings.system_prompt, subject=subject),
        }

    reference = measure("base", None)
    reports = {}
    for name, examples in {"true": domain.train, "shuffled": domain.shuffled()}.items():
        train(examples, settings, base, tmp_path / name)
        reports[name] = measure(name, tmp_path / name)
    gain = {name: report["holdout"].mean("question_gain") for name, report in reports.items()}
    assert gain["true"] > 0.1
    assert abs(gain["shuffled"]) < 0.03
    assert passed(judge(DEFAULT_GATES, reports["true"], reference, None))
    rows = {row.metric: row.passed for row in judge(DEFAULT_GATES, reports["shuffled"], reference, None)[:2]}
    assert rows == {"nll": True, "question_gain": False}  # likelihood alone would have let it through
