"""A base model from scratch: a byte-level BPE tokenizer and a small Llama, on own text and everyday prose.

The domain's documents go in as prose only, never as questions with answers, so that the base knows the
words and tuning still has everything to prove. A few everyday chats teach it the chat format.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from sovereign_tasks.causal_lm import CHAT_TEMPLATE, TURN_MARKS, hash_folder, hush, neutralise, seed_all
from sovereign_tasks.config import ScratchConfig, config_hash
from sovereign_tasks.errors import UserError
from sovereign_tasks.general import general_examples, general_text

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]
PAD, END = "<|pad|>", "<|end|>"
START, END_OF_TURN = TURN_MARKS
SPECIAL = [PAD, END, START, END_OF_TURN]
SYSTEM_PROMPTS = ("You are a helpful assistant.", "Answer in one plain sentence.", "")
RECORD = "origin.json"
BATCH, BLOCK = 4, 256  # answers may be long: positions the base has never seen are hard to tune
PEAK_RATE = 3e-3
TOKENS_PER_CHAT = 150  # one general chat for so many tokens of general prose
CHECK_SHARE = 0.03  # of both streams, kept out of training to measure perplexity on


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

    A folder that already holds the base of the same texts, settings and seed is left as it is. `progress`
    receives (step, steps, loss). Perplexities are per token, on text kept out of training.
    """
    corpus = sorted(set(texts))
    if config.hidden % config.heads:
        raise UserError(
            f"training.scratch: heads ({config.heads}) must divide hidden ({config.hidden}); change either."
        )
    if not corpus:
        raise UserError("training.base_model: scratch needs the text of a snapshot, and this one is empty.")
    identity = {
        "snapshot": snapshot,
        "seed": seed,
        "config_hash": config_hash(config),
        "corpus_hash": hashlib.sha256("\x00".join(corpus).encode()).hexdigest(),
    }
    if (folder / RECORD).exists():
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if identity.items() <= known.items():
            return known
        raise UserError(f"{folder}: holds a base of other text or settings; choose another folder or remove it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        report = identity | _train(corpus, config, temporary, seed, progress)
        (temporary / RECORD).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def _train(
    corpus: list[str], config: ScratchConfig, folder: Path, seed: int, progress: Progress | None
) -> dict[str, Any]:
    import numpy as np
    import torch

    hush()
    seed_all(seed)
    drawn = int(config.steps * BATCH * BLOCK * config.general_share) + 50 * BLOCK
    general = [*general_text(seed, drawn), *general_chats(seed, drawn // TOKENS_PER_CHAT)]
    shuffle = Random(seed).shuffle  # noqa: S311
    shuffle(general)
    shuffle(corpus)
    tokenizer = make_tokenizer(corpus, general, config.vocabulary)
    model = make_model(tokenizer, config)
    domain, domain_check = _stream(tokenizer, [neutralise(t, tokenizer) for t in corpus])
    other, other_check = _stream(tokenizer, general)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    warmup = max(1, config.steps // 20)

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / max(1, config.steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    before = _perplexity(model, domain_check), _perplexity(model, other_check)
    losses: list[float] = []
    model.train()
    for step in range(config.steps):
        from_general = rng.random(BATCH) < config.general_share
        batch = torch.stack([_window(other if general_row else domain, rng) for general_row in from_general])
        loss = model(input_ids=batch, labels=batch).loss
        if not torch.isfinite(loss):
            raise UserError(f"the base's loss became {loss.item()} at step {step + 1}; use fewer layers or steps.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if progress:
            progress(step + 1, config.steps, losses[-1])
    after = _perplexity(model, domain_check), _perplexity(model, other_check)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tail = losses[-20:]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": {"domain": len(domain), "general": len(other), "seen": config.steps * BATCH * BLOCK},
        "documents": len(corpus),
        "loss": round(sum(tail) / len(tail), 4),
        "perplexity": {
            "domain": {"before": round(before[0], 2), "after": round(after[0], 2)},
            "general": {"before": round(before[1], 2), "after": round(after[1], 2)},
        },
        "hash": hash_folder(folder),
    }


def make_tokenizer(corpus: list[str], general: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with single digits and the chat template, from both kinds of text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    size, whole = sum(map(len, corpus)), sum(map(len, general))
    enough = max(1, int(len(general) * min(1.0, size / whole)))  # as much of each, so both find their words
    bpe.train_from_iterator([*corpus, *general[:enough]], trainer)
    return _wrap(bpe)


def _wrap(bpe: Tokenizer) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END_OF_TURN,
        additional_special_tokens=[START, END],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


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


def general_chats(seed: int, count: int) -> list[str]:
    """Everyday questions with their answers, as the tokenizer's chat template writes them."""
    from tokenizers import Tokenizer, models

    template = _wrap(Tokenizer(models.BPE()))  # only its template is used here
    chats = []
    for i, example in enumerate(general_examples(seed, count, "train")):
        prompt = SYSTEM_PROMPTS[i % len(SYSTEM_PROMPTS)]
        system = [{"role": "system", "content": prompt}] if prompt else []
        chats.append(template.apply_chat_template([*system, *example.messages], tokenize=False))
    return chats


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
    batch = torch.from_numpy(rows)
    model.eval()
    with torch.inference_mode():
        return math.exp(model(input_ids=batch, labels=batch).loss.item())
