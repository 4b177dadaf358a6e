"""What it costs to evaluate 200 held-out rows, beside generating their answers one by one.

    python benchmarks/evaluation.py [QA.jsonl] [--rows N] [--run MODEL/RUN]

A small base is made of the answers' words and tuned for two passes. One side is this project's evaluation with three
metrics: loss, and token F1 and ROUGE-L of answers written in batches; `whole` is all that a night scores, which adds
the gain from a row's own question (a second pass), bits per byte, facts, length and refusals. The other side is
transformers' `generate` on one prompt after the other, as many tokens at most, and no metric at all. Both run on one
thread and must give the same answers. With --run it is the model of a retraining, a run's folder below
state/models/MODEL/runs, on the held-out rows of its snapshot. `value` is the ratio of processor time; it depends on how
long the answers are that the model writes (`answer_tokens`) beside those that it is scored on (`reference_tokens`). The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before torch is imported

from training import SHARED, examples_of, make


def main() -> None:
    from sovereign_tasks.evaluate.score import score

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED, help="JSON lines with question and answer")
    parser.add_argument("--rows", type=int, default=200, help="held-out rows")
    parser.add_argument("--run", metavar="MODEL/RUN", help="a retraining whose model is evaluated instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-", ignore_cleanup_errors=True) as folder:
        made = read(*options.run.split("/", 1)) if options.run else tune(Path(folder), options.corpus, options.rows)
        (model, tokenizer), held, prompt = made
        held = sorted(held, key=lambda e: e.example_id)[: options.rows]
        began = time.process_time()
        found = three(model, tokenizer, held, prompt)
        evaluated = time.process_time() - began
        print(json.dumps({"evaluation": round(evaluated, 1)} | found), flush=True)
        began = time.process_time()
        report = score(model, tokenizer, held, prompt, subject="candidate", generations=True)
        whole = time.process_time() - began
        print(json.dumps({"whole": round(whole, 1), "scores": sorted(report.scores)}), flush=True)
        began = time.process_time()
        answers = [one_by_one(model, tokenizer, e, prompt) for e in held]
        generated = time.process_time() - began
    tokens = [[len(ids) for ids in tokenizer(texts)["input_ids"]] for texts in (answers, [e.answer for e in held])]
    print(json.dumps({
        "claim": "processor time of evaluating held-out rows, answers included",
        "value": round(evaluated / generated, 4),
        "unit": "times one-by-one generation",
        "whole": round(whole / generated, 4),
        "rows": len(held),
        "seconds": {"three": round(evaluated, 1), "whole": round(whole, 1), "one by one": round(generated, 1)},
        "answer_tokens": round(sum(tokens[0]) / len(held), 1),
        "reference_tokens": round(sum(tokens[1]) / len(held), 1),
        "same_answers": sum(a == b for a, b in zip(answers, report.answers, strict=True)),
    }))  # fmt: skip


def tune(folder: Path, corpus: Path, count: int) -> tuple[tuple[Any, Any], list[Any], str]:
    """A model and its tokenizer, tuned on 400 rows of the corpus, as many others as asked for, and its prompt."""
    from sovereign_tasks.causal_lm import load_with_adapter
    from sovereign_tasks.train.qlora import train
    from sovereign_tasks.training_config import TrainingConfig

    rows = examples_of(corpus, 400 + count)[0]
    config = TrainingConfig(max_length=512, accumulation=1, epochs=2, learning_rate=2e-3)
    make(folder / "base", corpus)
    adapter = train(rows[:400], config, folder / "base", folder / "adapter").adapter
    return load_with_adapter(folder / "base", Path(adapter)), rows[400:], config.system_prompt


def read(model: str, run: str) -> tuple[tuple[Any, Any], list[Any], str]:
    """The model of a retraining and its tokenizer, the held-out rows of its snapshot, and its prompt."""
    from sovereign_tasks.causal_lm import load_with_adapter
    from sovereign_tasks.stages.context import open_context
    from sovereign_tasks.stages.snapshots import load_splits

    context = open_context(model, run)
    made = context.ledger.training(model, run)
    held = load_splits(context, context.ledger.snapshot(model, made.snapshot))["holdout"]
    return load_with_adapter(Path(made.base), Path(made.adapter)), held, context.config.training.system_prompt


def three(model: Any, tokenizer: Any, rows: list[Any], system_prompt: str) -> dict[str, float]:
    """Means of loss, token F1 and ROUGE-L, as a night measures them."""
    from sovereign_tasks.causal_lm import encode_chat, encode_prompt
    from sovereign_tasks.evaluate.answers import rouge_l, token_f1, words
    from sovereign_tasks.evaluate.score import MAX_NEW_TOKENS, answer_nll
    from sovereign_tasks.generation import generate

    losses = answer_nll(model, tokenizer, [encode_chat(tokenizer, e.messages, system_prompt) for e in rows])
    prompts = [encode_prompt(tokenizer, e.messages[:-1], system_prompt) for e in rows]
    answers = dict(generate(model, tokenizer, prompts, max_new_tokens=MAX_NEW_TOKENS))
    pairs = [(words(answers[i]), words(e.answer)) for i, e in enumerate(rows)]
    shared = {"token_f1": [token_f1(*pair) for pair in pairs], "rouge_l": [rouge_l(*pair) for pair in pairs]}
    return {name: round(sum(each) / len(rows), 3) for name, each in ({"nll": losses} | shared).items()}


def one_by_one(model: Any, tokenizer: Any, example: Any, system_prompt: str) -> str:
    """The answer to one row's question."""
    import torch

    from sovereign_tasks.causal_lm import encode_prompt
    from sovereign_tasks.evaluate.score import MAX_NEW_TOKENS

    prompt = torch.tensor([encode_prompt(tokenizer, example.messages[:-1], system_prompt)])
    with torch.inference_mode():
        out = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
    return tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True).strip()


if __name__ == "__main__":
    main()
