"""One answer, here and now, from a base with or without an adapter."""

from __future__ import annotations

from pathlib import Path

from sovereign_tasks.causal_lm import encode_prompt, load_base_of, load_with_adapter, seed_all
from sovereign_tasks.errors import UserError
from sovereign_tasks.generation import generate
from sovereign_tasks.records import Message
from sovereign_tasks.training_config import TrainingConfig

MAX_NEW_TOKENS = 150
MAX_PROMPT_CHARACTERS = 8192


def answer(
    question: str,
    base: Path,
    adapter: Path,
    config: TrainingConfig,
    *,
    without: bool = False,
    temperature: float = 0.0,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> str:
    """Answer a question on this machine; the same question gets the same answer, seeded above temperature 0.

    `without` asks the base as it stands under the adapter.
    """
    if not question.strip():
        raise UserError("ask: the question is empty; put it in quotes after the model's name.")
    if len(question) > MAX_PROMPT_CHARACTERS:
        raise UserError(f"ask: the question has {len(question)} characters; {MAX_PROMPT_CHARACTERS} are allowed.")
    model, tokenizer = (load_base_of if without else load_with_adapter)(base, adapter)
    seed_all(config.seed)
    prompt = encode_prompt(tokenizer, [Message(role="user", content=question)], config.system_prompt)
    ((_, text),) = generate(model, tokenizer, [prompt], max_new_tokens=max_new_tokens, temperature=temperature)
    return text
