"""QLoRA on this machine's processor, one thread: this trainer beside TRL's SFTTrainer, on the same rows.

    python benchmarks/training.py [QA.jsonl] [--rows N]

A small Llama-shaped base is made of the answers' words, and each side tunes it for one pass over N question-answer
rows in a process of its own: NF4, LoRA of rank 16 on all linear layers, loss on the answers, AdamW, the same rate and
rows an update. TRL is set up as its documentation does, with rows padded, grouped by length, and packed both ways. What
counts are answer tokens (those that carry loss) per second of processor time between the end of the first step and the
end of the last, so that neither loading nor what a side encodes before is in it. Every adapter is then judged by one
ruler: its loss on the same 200 rows that none has seen. `value` is the ratio to TRL with padding. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before torch is imported, here and by each side
SHARED = Path(__file__).resolve().parents[2] / "shared/data/health_qa.jsonl"
PADDED = "trl padded"
PEERS: dict[str, dict[str, Any]] = {
    PADDED: {},
    "trl by length": {"train_sampling_strategy": "group_by_length"},
    "trl packed": {"packing": True},
    "trl wrapped": {"packing": True, "packing_strategy": "wrapped"},
}
HELD_OUT = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED, help="JSON lines with question and answer")
    parser.add_argument("--rows", type=int, default=1200, help="rows to train on")
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side, folder = options.side
        print(json.dumps(measure(side, Path(folder), options.corpus, options.rows)))
        return
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-", ignore_cleanup_errors=True) as folder:
        make(Path(folder, "base"), options.corpus)
        rows = {side: run(side, folder, options) for side in ("ours", *PEERS)}
    best = max(PEERS, key=lambda side: rows[side]["tokens_per_cpu_s"])
    mine = rows["ours"]
    ratio = {side: round(mine["tokens_per_cpu_s"] / row["tokens_per_cpu_s"], 3) for side, row in rows.items()}
    print(json.dumps({
        "claim": "answer tokens per CPU second of QLoRA on one thread",
        "value": ratio[PADDED],
        "unit": f"times {PADDED}",
        "to_best_peer": {best: ratio[best]},
        "loss_to_padded": round(mine["loss"] / rows[PADDED]["loss"], 4),
        "rows": rows,
    }))  # fmt: skip


def run(side: str, folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """One side in a process of its own, on one thread."""
    command = [sys.executable, __file__, str(options.corpus), "--rows", str(options.rows), "--side", side, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed: {done.stderr.strip()}")
    row = json.loads(done.stdout.strip().splitlines()[-1])
    print(json.dumps({"side": side} | row), flush=True)
    return row


def examples_of(corpus: Path, count: int) -> tuple[list[Any], list[Any]]:
    """The rows to train on, and those that are held out."""
    from sovereign_tasks.records import Example

    rows: list[Any] = []
    if not corpus.is_file():
        sys.exit(f"{corpus}: no such file; name one of JSON lines with question and answer, 2,000 or more.")
    for n, line in enumerate(corpus.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        question, answer = row["question"].strip(), row["answer"].strip()
        if question and 40 < len(answer) < 1200:
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            rows.append(Example(f"{n:06}", "pair", "bench", f"g{n}", "en", turns, [], []))
    return rows[HELD_OUT : HELD_OUT + count], rows[:HELD_OUT]


def settings() -> Any:
    """The training block of all sides."""
    from sovereign_tasks.training_config import TrainingConfig

    return TrainingConfig(
        max_length=512, batch_size=8, accumulation=1, epochs=1, replay_share=0, learning_rate=2e-3, seed=1
    )


def make(folder: Path, corpus: Path) -> None:
    """The base, of the answers of other rows than those that are tuned on."""
    from sovereign_tasks.train.pretrain import make_base
    from sovereign_tasks.training_config import ScratchConfig

    texts = [e.answer for e in examples_of(corpus, 10**6)[0][-1500:]]
    sizes = ScratchConfig(vocabulary=2048, hidden=192, layers=2, heads=6, steps=150)
    make_base(texts, sizes, folder, seed=1)


class Clock:
    """Processor time from the end of the first step to the end of the last."""

    def __init__(self) -> None:
        self.steps = 0
        self.times: list[float] = []

    def step(self) -> None:
        """Note the end of a step."""
        self.times.append(time.process_time())

    def rate(self, tokens: int) -> float:
        """Tokens a second, of as many in all steps."""
        timed = len(self.times) - 1
        return tokens * timed / len(self.times) / (self.times[-1] - self.times[0])


def measure(side: str, folder: Path, corpus: Path, count: int) -> dict[str, Any]:
    """Train one side, and judge what it made."""
    from peft import PeftModel

    from sovereign_tasks.causal_lm import encode_chat, load_base, load_tokenizer
    from sovereign_tasks.evaluate.score import answer_nll
    from sovereign_tasks.train.prompts import encode

    config, base = settings(), folder / "base"
    train_rows, held_out = examples_of(corpus, count)
    tokenizer = load_tokenizer(base)
    fitting = {tuple(r["input_ids"]) for r in encode(train_rows, tokenizer, config).rows}
    chats = {e.example_id: encode_chat(tokenizer, e.messages, config.system_prompt) for e in train_rows}
    examples = [e for e in train_rows if tuple(chats[e.example_id].input_ids) in fitting]
    tokens = sum(len(chats[e.example_id].input_ids) - chats[e.example_id].answer_start for e in examples)
    clock, adapter = Clock(), folder / side.replace(" ", "-")
    (ours if side == "ours" else trl)(side, examples, config, base, adapter, clock)
    model, tokenizer = load_base(base)
    model = PeftModel.from_pretrained(model, adapter).eval()
    judged = [encode_chat(tokenizer, e.messages, config.system_prompt) for e in held_out]
    losses = answer_nll(model, tokenizer, judged)
    weights = [len(c.input_ids) - c.answer_start for c in judged]
    loss = sum(a * b for a, b in zip(losses, weights, strict=True)) / sum(weights)
    return {
        "tokens_per_cpu_s": round(clock.rate(tokens), 1),
        "steps": len(clock.times),
        "answer_tokens": tokens,
        "loss": round(loss, 4),
    }


def ours(side: str, examples: list[Any], config: Any, base: Path, adapter: Path, clock: Clock) -> None:
    """This project's trainer."""
    from sovereign_tasks.train.qlora import train

    train(examples, config, base, adapter, progress=lambda *_: clock.step())


def trl(side: str, examples: list[Any], config: Any, base: Path, adapter: Path, clock: Clock) -> None:
    """TRL's SFTTrainer, loss on the completions."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from sovereign_tasks.train.methods import describe

    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, quantization_config=four_bits, device_map={"": "cpu"}
    )

    class Tell(TrainerCallback):
        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            clock.step()

    system = {"role": "system", "content": config.system_prompt}
    turns = [[system, *example.messages] for example in examples]
    arguments = SFTConfig(
        output_dir=str(adapter.with_suffix(".work")),
        max_length=config.max_length,
        per_device_train_batch_size=config.batch_size,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        optim="adamw_torch",
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=config.seed,
        **PEERS[side],
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        processing_class=AutoTokenizer.from_pretrained(base),
        train_dataset=Dataset.from_list([{"prompt": t[:-1], "completion": t[-1:]} for t in turns]),
        peft_config=describe(config, model.config.num_hidden_layers),
        callbacks=[Tell()],
    )
    trainer.train()
    trainer.model.save_pretrained(adapter)


if __name__ == "__main__":
    main()
