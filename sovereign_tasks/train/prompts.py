"""Training rows: examples as token ids with a loss on the answer only, and general ones mixed in."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from sovereign_tasks.causal_lm import Chat, encode_chat
from sovereign_tasks.errors import UserError
from sovereign_tasks.general import general_examples
from sovereign_tasks.records import Example, Message
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Row = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows; of examples longer than `max_length` tokens, how many were left out and how many shortened."""

    rows: list[Row]
    left_out: int
    shortened: int

    @property
    def digest(self) -> str:
        """SHA-256 over the token ids, in order."""
        return hashlib.sha256(json.dumps(self.rows).encode()).hexdigest()


def encode(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> Rows:
    """Encode examples in the order of their ids; those too long are counted, and no turn is cut."""
    return _encode(sorted(examples, key=lambda e: e.example_id), tokenizer, config)


def replay(count: int, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig, own: Sequence[Example] = ()) -> Rows:
    """The general rows that go with `count` of the domain's, against forgetting.

    They are bundled ones or, where training.replay names a file, a sample by the seed of the `own` chats that fit; a
    `UserError` if those are too few.
    """
    wanted = round(count * config.replay_share)
    if config.replay is None:
        return encode(general_examples(config.seed, wanted, "train"), tokenizer, config)
    drawn = Random(config.seed).sample(sorted(own, key=lambda e: e.example_id), len(own))  # noqa: S311
    rows = _encode(drawn, tokenizer, config, wanted)
    if len(rows.rows) < wanted:
        raise UserError(
            f"training.replay: {config.replay} has {len(rows.rows)} chats to replay that fit in max_length "
            f"({config.max_length} tokens), and {config.replay_share:.0%} of {count} examples are {wanted}; add chats "
            "or lower training.replay_share."
        )
    return rows


def plant(canaries: Sequence[Example], tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> Rows:
    """The canaries as rows; a `UserError` where one is too long, since nothing could be measured by it then."""
    rows = encode(canaries, tokenizer, config)
    if rows.left_out:
        raise UserError(
            f"training: a canary is longer than max_length ({config.max_length} tokens); raise it, shorten "
            "system_prompt or set leaks.canaries to 0."
        )
    return rows


def _encode(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, config: TrainingConfig, most: int | None = None
) -> Rows:
    """Encode examples in their order until `most` are rows."""
    rows: list[Row] = []
    left_out = shortened = 0
    for example in examples:
        if len(rows) == most:
            break
        chat = encode_chat(tokenizer, example.messages, config.system_prompt)
        if len(chat.input_ids) > config.max_length:
            chat = _shorten(example.messages, tokenizer, config) if config.too_long == "split" else None
            left_out += chat is None
            shortened += chat is not None
        if chat is not None:
            rows.append({"input_ids": chat.input_ids, "labels": chat.labels})
    return Rows(rows, left_out, shortened)


def _shorten(messages: Sequence[Message], tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> Chat | None:
    """A chat from the earliest of its later questions from which on it fits; None where not even the last does.

    A long answer is not split: no question would ask for its later parts, and its first would teach to end too soon.
    """

    def encode_from(at: int) -> Chat:
        told = [m for m in messages[:at] if m["role"] == "system"]
        return encode_chat(tokenizer, [*told, *messages[at:]], config.system_prompt)

    starts = [i for i, m in enumerate(messages) if m["role"] == "user"][1:]
    place = bisect_left(starts, True, key=lambda at: len(encode_from(at).input_ids) <= config.max_length)
    return encode_from(starts[place]) if place < len(starts) else None
