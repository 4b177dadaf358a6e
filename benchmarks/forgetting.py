"""What tuning on a domain unlearns: perplexity on everyday questions, with the replayed share of them and without.

    python benchmarks/forgetting.py [QA.jsonl] [--rows N]

A small base is made of the corpus's answers and everyday text; then it is tuned on N question-answer rows for three
passes, once with the default share of everyday examples mixed in and once with none. Judged are everyday questions that
no training replays. `value` is the perplexity after tuning with replay over that before, the peer's the same without
replay. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from training import HELD_OUT, SHARED, examples_of


def main() -> None:
    from sovereign_tasks.causal_lm import load_base, load_with_adapter
    from sovereign_tasks.evaluate.score import answer_nll
    from sovereign_tasks.train.pretrain import make_base
    from sovereign_tasks.train.qlora import train
    from sovereign_tasks.training_config import ScratchConfig, TrainingConfig

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED, help="JSON lines with question and answer")
    parser.add_argument("--rows", type=int, default=500, help="rows to train on")
    options = parser.parse_args()
    rows, held_out = examples_of(options.corpus, options.rows)
    usual = TrainingConfig(learning_rate=6e-3, batch_size=8, accumulation=1, max_length=384)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-", ignore_cleanup_errors=True) as folder:
        base = Path(folder, "base")
        texts = [e.answer for e in examples_of(options.corpus, 10**6)[0][-1500:]]
        make_base(texts, ScratchConfig(steps=400), base, seed=1)

        def judge(name: str, model: Any, tokenizer: Any) -> None:
            from sovereign_tasks.causal_lm import encode_chat
            from sovereign_tasks.evaluate.score import score_general

            chats = [encode_chat(tokenizer, e.messages, usual.system_prompt) for e in held_out[: HELD_OUT // 2]]
            general = score_general(model, tokenizer, usual.system_prompt, subject=name).mean("general_nll")
            domain = answer_nll(model, tokenizer, chats)
            figures[name] = {
                "general_perplexity": round(math.exp(general), 3),
                "domain_nll": round(sum(domain) / len(domain), 3),
            }
            print(json.dumps({name: figures[name]}), flush=True)

        judge("before", *load_base(base))
        for name, share in (("replay", usual.replay_share), ("no replay", 0.0)):
            adapter = Path(folder, name.replace(" ", "-"))
            train(rows, usual.model_copy(update={"replay_share": share}), base, adapter)
            judge(name, *load_with_adapter(base, adapter))
    before = figures["before"]["general_perplexity"]
    ratio = {n: round(figures[n]["general_perplexity"] / before, 3) for n in ("replay", "no replay")}
    print(json.dumps({
        "claim": "what tuning unlearns of everyday questions",
        "value": ratio["replay"],
        "unit": "times the perplexity before",
        "peer": "without replay",
        "peer_value": ratio["no replay"],
        "figures": figures,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
