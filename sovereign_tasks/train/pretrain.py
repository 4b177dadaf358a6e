"""A base model from scratch: a byte-level BPE tokenizer and a small Llama, on own text and everyday prose.

The domain's documents go in as prose only, never as questions with answers, so that the base knows the
words and tuning still has everything to prove. A few everyday chats teach it the chat format.

The base appears under its name only when it is whole. A killed one leaves a hidden folder beside it, and the next
call with the same text, settings and seed goes on from there to the same bytes, at the same number of threads.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from sovereign_tasks.causal_lm import hash_folder, hush, neutralise, seed_all
from sovereign_tasks.config import config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.general import general_text
from sovereign_tasks.train import checkpoint
from sovereign_tasks.train.tokenizer import END, general_chats, keep_tokenizer
from sovereign_tasks.training_config import ScratchConfig

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]
RECORD = "origin.json"
UNFINISHED = ".unfinished"  # ending of the hidden folder of one that is not whole yet
CHECKPOINT_SECONDS = 300.0  # of work that a kill may cost
BATCH, BLOCK = 4, 256  # answers may be long: positions the base has never seen are hard to tune
PEAK_RATE = 3e-3
TOKENS_PER_CHAT = 150  # one general chat for so many tokens of general prose
CHECK_SHARE = 0.03  # of both streams, kept out of training to measure perplexity on
LAST_STEPS = 20


def identify(texts: Iterable[str], config: ScratchConfig, seed: int) -> dict[str, Any]:
    """What the base of these texts and settings is known by; a `UserError` where none can be made of them."""
    corpus = sorted(set(texts))
    if config.hidden % config.heads:
        raise UserError(
            f"training.scratch: heads ({config.heads}) must divide hidden ({config.hidden}); change either."
        )
    if not corpus:
        raise UserError("training.base_model: scratch needs the text of a snapshot, and this one is empty.")
    return {
        "seed": seed,
        "config_hash": config_hash(config),
        "corpus_hash": hashlib.sha256("\x00".join(corpus).encode()).hexdigest(),
    }


def tokens_seen(config: ScratchConfig) -> int:
    """How many tokens the model is trained on, of both kinds of text."""
    return config.steps * BATCH * BLOCK


def short_name(identity: dict[str, Any]) -> str:
    """An identity in 16 characters that may stand in a path."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def make_base(
    texts: Iterable[str],
    config: ScratchConfig,
    folder: Path,
    *,
    seed: int,
    snapshot: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a base on `texts` into `folder`, which is absent or complete; returns what origin.json holds.

    A folder that already holds the base of the same texts, settings and seed is left as it is, with the `snapshot`
    that it was first made of. `progress` receives (step, steps, loss). Perplexities are per token, on text kept out of
    training. Once the base is whole, what unfinished ones left beside it is removed, whatever they were of.
    """
    corpus = sorted(set(texts))
    identity = identify(corpus, config, seed)
    if (folder / RECORD).exists():
        report = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if not identity.items() <= report.items():
            raise UserError(f"{folder}: holds a base of other text or settings; choose another folder or remove it.")
    else:
        work = folder.with_name(f".{short_name(identity)}{UNFINISHED}")
        work.mkdir(parents=True, exist_ok=True)
        whole = work / "base"
        shutil.rmtree(whole, ignore_errors=True)
        report = {"snapshot": snapshot} | identity | _train(corpus, config, work, whole, seed, progress)
        (whole / RECORD).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        whole.rename(folder)
    for leftover in folder.parent.glob(f".*{UNFINISHED}"):
        shutil.rmtree(leftover)
    return report


def draw_general(config: ScratchConfig, seed: int) -> list[str]:
    """The general texts and chats that a base learns from beside its corpus."""
    drawn = int(tokens_seen(config) * config.general_share) + 50 * BLOCK
    general = [*general_text(seed, drawn), *general_chats(seed, drawn // TOKENS_PER_CHAT)]
    Random(seed).shuffle(general)  # noqa: S311
    return general


def _train(
    corpus: list[str], config: ScratchConfig, work: Path, whole: Path, seed: int, progress: Progress | None
) -> dict[str, Any]:
    import numpy as np
    import torch

    hush()
    seed_all(seed)
    general = draw_general(config, seed)
    Random(seed).shuffle(corpus)  # noqa: S311
    tokenizer = keep_tokenizer(work / "tokenizer.json", corpus, general, config.vocabulary)
    model = make_model(tokenizer, config).to("cuda" if torch.cuda.is_available() else "cpu")
    domain, domain_check = _stream(tokenizer, [neutralise(t, tokenizer) for t in corpus])
    other, other_check = _stream(tokenizer, general)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    before = _perplexity(model, domain_check), _perplexity(model, other_check)
    state = work / "checkpoint.safetensors"
    done, losses = checkpoint.load(state, model, optimizer, rng)
    saved = time.monotonic()
    model.train()
    with _repeatable(model.device):
        for step in range(done, config.steps):
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                checkpoint.save(state, step, losses, model, optimizer, rng)
                saved = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * _rate(step, config.steps)
            from_general = rng.random(BATCH) < config.general_share
            rows = [_window(other if general_row else domain, rng) for general_row in from_general]
            batch = torch.stack(rows).to(model.device)
            loss = model(input_ids=batch, labels=batch).loss
            if not torch.isfinite(loss):
                raise UserError(f"the base's loss became {loss.item()} at step {step + 1}; use fewer layers or steps.")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses = [*losses, loss.item()][-LAST_STEPS:]
            if progress:
                progress(step + 1, config.steps, losses[-1])
    after = _perplexity(model, domain_check), _perplexity(model, other_check)
    model.eval().save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": {"domain": len(domain), "general": len(other), "seen": tokens_seen(config)},
        "documents": len(corpus),
        "loss": round(sum(losses) / len(losses), 4),
        "perplexity": {
            "domain": {"before": round(before[0], 2), "after": round(after[0], 2)},
            "general": {"before": round(before[1], 2), "after": round(after[1], 2)},
        },
        "hash": hash_folder(whole),
    }


def _rate(step: int, steps: int) -> float:
    """The share of the peak rate at a step: a short rise, then a cosine down to a tenth."""
    warmup = max(1, steps // 20)
    if step < warmup:
        return (step + 1) / warmup
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _repeatable(device: torch.device) -> AbstractContextManager[None]:
    """On a GPU, attention whose gradients are summed in the same order each time."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cuda" else nullcontext()


def make_model(tokenizer: PreTrainedTokenizerFast, config: ScratchConfig) -> LlamaForCausalLM:
    """An untrained model of the size that is asked for."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=config.hidden * 8 // 3,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _stream(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All texts as one row of ids, an end token after each; the last part is kept for checking."""
    import numpy as np

    ids = [i for row in tokenizer(texts)["input_ids"] for i in (*row, tokenizer.convert_tokens_to_ids(END))]
    short = -(-3 * (BLOCK + 1) // len(ids)) if len(ids) < 3 * (BLOCK + 1) else 1
    stream = np.asarray(ids * short)
    cut = len(stream) - max(BLOCK, int(len(stream) * CHECK_SHARE))
    return stream[:cut], stream[cut:]


def _window(stream: np.ndarray, rng: np.random.Generator) -> Any:
    import torch

    at = int(rng.integers(0, len(stream) - BLOCK))
    return torch.from_numpy(stream[at : at + BLOCK])


def _perplexity(model: LlamaForCausalLM, stream: np.ndarray) -> float:
    import torch

    rows = stream[: len(stream) // BLOCK * BLOCK].reshape(-1, BLOCK)[:64]
    batch = torch.from_numpy(rows).to(model.device)
    model.eval()
    with torch.inference_mode():
        return math.exp(model(input_ids=batch, labels=batch).loss.item())
