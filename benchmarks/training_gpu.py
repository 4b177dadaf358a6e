"""QLoRA of an 8B-shaped model on a GPU: this trainer beside TRL's SFTTrainer, on the same rows.

    python benchmarks/training_gpu.py [--shape llama-3-8b] [--lengths 2048,4096] [--folder FOLDER]

The model has random weights, since speed and memory depend on its shape alone. Rows are as long as max_length, 8,192
tokens a step, and each side trains twelve steps in a process of its own, set up as its documentation does for QLoRA:
NF4 with double quantisation, LoRA of rank 16 on all linear layers, bf16, gradient checkpointing, paged 8-bit AdamW.
tokens/s is the median over the steps after the third. The share of peak counts 4 floating-point operations a
parameter and token (forward, and backward to the activations) against the card's dense bf16 rate. Memory is the peak
that PyTorch reserved; planned_gb is what the preflight says it will be. The shape `tiny` runs anywhere, to try the
script. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sovereign_tasks.train.device import PEAKS

STEPS, WARM, STEP_TOKENS = 12, 3, 8192
SHAPES = {
    "llama-3-8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 2048,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="llama-3-8b")
    parser.add_argument("--lengths", default="2048,4096", help="values of max_length, with commas")
    parser.add_argument("--folder", type=Path, default=None, help="where 20 GB fit for a while")
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "LENGTH", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side, length, folder = arguments.side
        print(json.dumps(SIDES[side](Path(folder), int(length))))
        return
    import torch

    if not torch.cuda.is_available() and arguments.shape != "tiny":
        print("There is no CUDA card here, so nothing was measured; --shape tiny tries the script.")
        return
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        parameters = make_base(Path(folder, "base"), arguments.shape)
        rows: list[dict[str, Any]] = []
        for length in map(int, arguments.lengths.split(",")):
            rows += [measure(side, length, Path(folder), parameters, card) for side in SIDES]
    first = {row["side"]: row for row in rows if row["length"] == rows[0]["length"] and "tokens_per_s" in row}
    ours, peer = (first.get(side, {}).get("tokens_per_s") for side in SIDES)
    claim = {"claim": f"QLoRA of a {arguments.shape} shape on one card", "unit": "tokens/s", "peer": "TRL SFTTrainer"}
    print(json.dumps(claim | {"value": ours, "peer_value": peer, "ratio": ours and peer and round(ours / peer, 3),
                              "card": card, "parameters": parameters, "rows": rows}))  # fmt: skip


def make_base(folder: Path, shape: str) -> int:
    """Save a model of random weights with a tokenizer; how many parameters it has."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from sovereign_tasks.general import general_text
    from sovereign_tasks.train.tokenizer import make_tokenizer

    tokenizer = make_tokenizer([], list(general_text(1, 20_000)), 2048)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=8192, pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(1)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="4GB")
    tokenizer.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def measure(side: str, length: int, folder: Path, parameters: int, card: str) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, str(length), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    row: dict[str, Any] = {"side": side, "length": length}
    if done.returncode:
        row["failed"] = (done.stderr.strip().splitlines() or ["without a word"])[-1]
    else:
        row |= json.loads(done.stdout.strip().splitlines()[-1])
        peak = next((rate for name, rate in PEAKS.items() if name in card), None)
        row["share_of_peak"] = peak and round(4 * parameters * row["tokens_per_s"] / peak, 3)
    print(json.dumps(row), flush=True)
    return row


def ours(folder: Path, length: int) -> dict[str, Any]:
    """This project's trainer."""
    from sovereign_tasks.train.qlora import train

    config, (examples, tokens) = settings(length), rows_of(folder / "base", length)
    planned = reckon(examples, config, folder / "base")
    clock = Clock()
    train(examples, config, folder / "base", folder / f"adapter-{length}", progress=clock.step)
    return clock.figures(tokens / STEPS) | planned


def reckon(examples: list[Any], config: Any, base: Path) -> dict[str, Any]:
    """What the preflight says of the same training, before it: the peak of memory in GB, and tokens/s."""
    from sovereign_tasks.causal_lm import load_config, load_tokenizer
    from sovereign_tasks.config import CostsConfig
    from sovereign_tasks.train.device import look
    from sovereign_tasks.train.estimate import Load, estimate
    from sovereign_tasks.train.prompts import encode
    from sovereign_tasks.train.shape import count, sketch

    rows = encode(examples, load_tokenizer(base), config).rows
    shape = count(sketch(load_config(base)), config)
    needs = estimate(shape, Load.of(rows), config, look(), CostsConfig(), None)
    return {"planned_gb": round(needs.peak / 1e9, 2), "planned_tokens_per_s": round(needs.rate)}


def trl(folder: Path, length: int) -> dict[str, Any]:
    """TRL's SFTTrainer with its QLoRA settings, loss on the answers."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from sovereign_tasks.train.methods import describe

    config, gpu = settings(length), torch.cuda.is_available()
    dtype = torch.bfloat16 if gpu else torch.float32
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder / "base", dtype=dtype, quantization_config=quantisation, device_map={"": 0 if gpu else "cpu"}
    )
    clock = Clock()

    class Tell(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in (logs or {}):
                clock.step(state.global_step, state.max_steps, logs["loss"])

    examples, tokens = rows_of(folder / "base", length)
    turns = [example.messages for example in examples]
    arguments = SFTConfig(
        output_dir=str(folder / f"trl-{length}"),
        max_length=length,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        optim="paged_adamw_8bit" if gpu else "adamw_torch",
        bf16=gpu,
        use_cpu=not gpu,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )
    SFTTrainer(
        model=model,
        args=arguments,
        processing_class=AutoTokenizer.from_pretrained(folder / "base"),
        train_dataset=Dataset.from_list([{"prompt": t[:-1], "completion": t[-1:]} for t in turns]),
        peft_config=describe(config, model.config.num_hidden_layers),
        callbacks=[Tell()],
    ).train()
    return clock.figures(tokens / STEPS)


SIDES: dict[str, Callable[[Path, int], dict[str, Any]]] = {"ours": ours, "trl": trl}


class Clock:
    """Seconds of each step, the last loss, and the most memory that was reserved."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._loss = 0.0

    def step(self, step: int, steps: int, loss: float) -> None:
        """Note the end of a step; the loss has been read, so the card has finished it."""
        self._times.append(time.perf_counter())
        self._loss = loss

    def figures(self, step_tokens: float) -> dict[str, Any]:
        """What to print, at so many tokens a step."""
        import torch

        seconds = [after - before for before, after in zip(self._times, self._times[1:], strict=False)][WARM:]
        gpu = torch.cuda.is_available()
        return {
            "tokens_per_s": round(step_tokens / statistics.median(seconds)),
            "peak_gb": round(torch.cuda.max_memory_reserved() / 1e9, 2) if gpu else None,
            "loss": round(self._loss, 4),
        }


def settings(length: int) -> Any:
    """The training block of both sides."""
    from sovereign_tasks.training_config import TrainingConfig

    return TrainingConfig(
        max_length=length, batch_size=STEP_TOKENS // length, accumulation=1, epochs=1, replay_share=0, warmup_share=0
    )


def rows_of(base: Path, length: int) -> tuple[list[Any], int]:
    """Examples of `length` tokens, less a few where a word would not fit any more, and how many these are in all."""
    from sovereign_tasks.causal_lm import encode_chat, load_tokenizer
    from sovereign_tasks.general import general_text
    from sovereign_tasks.records import Example

    tokenizer, system = load_tokenizer(base), settings(length).system_prompt
    words = " ".join(general_text(2, 2 * STEPS * STEP_TOKENS)).split()

    def example(n: int, start: int, count: int) -> Example:
        answer = " ".join(words[start : start + count])
        turns = [{"role": "user", "content": f"What is in part {n}?"}, {"role": "assistant", "content": answer}]
        return Example(f"{n:04}", "general", "bench", f"g{n}", "en", turns, [], [])

    examples, tokens, start = [], 0, 0
    for n in range(STEPS * STEP_TOKENS // length):
        count = length
        while (used := len(encode_chat(tokenizer, example(n, start, count).messages, system).input_ids)) > length:
            count -= max(1, count // 100)
        examples.append(example(n, start, count))
        tokens += used
        start = (start + count) % (len(words) // 2)
    return examples, tokens


if __name__ == "__main__":
    main()
