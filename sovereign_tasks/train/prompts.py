"""Training rows: examples as token ids with a loss on the answer only, and general ones mixed in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovereign_tasks.causal_lm import encode_chat
from sovereign_tasks.config import TrainingConfig
from sovereign_tasks.general import general_examples
from sovereign_tasks.records import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Row = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows, and how many examples were left out as longer than `max_length` tokens."""

    rows: list[Row]
    left_out: int

    @property
    def digest(self) -> str:
        """SHA-256 over the token ids, in order."""
        return hashlib.sha256(json.dumps(self.rows).encode()).hexdigest()


def encode(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> Rows:
    """Encode examples in the order of their ids; those too long are counted, never cut."""
    rows: list[Row] = []
    ordered = sorted(examples, key=lambda e: e.example_id)
    for example in ordered:
        chat = encode_chat(tokenizer, example.messages, config.system_prompt)
        if len(chat.input_ids) <= config.max_length:
            rows.append({"input_ids": chat.input_ids, "labels": chat.labels})
    return Rows(rows, len(ordered) - len(rows))


def replay(count: int, config: TrainingConfig) -> list[Example]:
    """The general examples that go with `count` of the domain's, against forgetting."""
    return general_examples(config.seed, round(count * config.replay_share), "train")
