"""The owner's own chats against forgetting (training.replay): a JSON-lines file, most of it to replay, some to measure.

What a chat opens with decides its part, by the rule that parts the bundled questions: chats that open alike are either
all replayed or all measured, in every training to come, however the file grows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sovereign_tasks.collect.dataset import JSON_LINES, read_rows
from sovereign_tasks.collect.local import Broken, locate
from sovereign_tasks.collect.tabular.reading import Fault
from sovereign_tasks.config import ModelConfig
from sovereign_tasks.dataset.split import digest_examples, find_near
from sovereign_tasks.errors import UserError
from sovereign_tasks.general import split_of
from sovereign_tasks.records import Example, Message, keyed_hash

LEAST_MEASURED = 10
"""Chats of the file that measure forgetting, at least: with fewer its part in the gate would be chance."""
_WORDS = {
    "not_utf8": "is not UTF-8",
    "not_json": "is not JSON",
    "no_row": "is no JSON object",
    "too_large": "is longer than 2 MB",
}


@dataclass(frozen=True)
class OwnChats:
    """The chats of a file, each once; `sha256` is the file's, `near_holdout` counts those in neither part."""

    sha256: str
    train: list[Example]
    regression: list[Example]
    near_holdout: int

    @property
    def named(self) -> dict[str, Any]:
        """The file by hash and counts, for reports that are shown around."""
        chats = len(self.train) + len(self.regression) + self.near_holdout
        return {"sha256": self.sha256, "chats": chats, "near_holdout": self.near_holdout}


def read_replay(config: ModelConfig, held: Sequence[Example] = ()) -> OwnChats | None:
    """The owner's chats; None where the bundled ones are replayed. A `UserError` names what is wrong and its line.

    Such as come near one of the rows that are `held` out of training are not replayed either: holdout wins.
    """
    if config.training.replay is None:
        return None
    path = locate(config.training.replay)
    where = f"{config.model}: training.replay: {path}"
    if path.suffix.lower() not in JSON_LINES:
        raise UserError(f"{where} is no JSON-lines file; name one that ends in {' or '.join(JSON_LINES)}.")
    chats: dict[str, Example] = {}
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        for line, row in read_rows(path, 0):
            try:
                chat = _example(row)
            except ValueError as e:
                raise UserError(f"{where}: line {line} {e}; mend the line or take it out.") from None
            chats[chat.example_id] = chat
    except OSError as e:
        raise UserError(f"{where} can't be read: {e.strerror}; correct the path.") from None
    except Broken as e:
        raise UserError(f"{where}: its last line ({e.measured}) is cut off; write the file anew.") from None
    parts: dict[str, list[Example]] = {"train": [], "regression": []}
    for chat in chats.values():
        parts[split_of(_opening(chat.messages))].append(chat)
    if (measured := len(parts["regression"])) < LEAST_MEASURED:
        raise UserError(
            f"{where} has too few chats: of {len(chats)}, {measured} fall to measuring what is forgotten, which takes "
            f"{LEAST_MEASURED}; some {6 * LEAST_MEASURED} chats that open differently give as many."
        )
    near: dict[str, tuple[str, float]] = {}
    if held:
        near = find_near(digest_examples(parts["train"]), digest_examples(held), config.dataset.near_holdout)
    parts["train"] = [chat for chat in parts["train"] if chat.example_id not in near]
    return OwnChats(sha256, **parts, near_holdout=len(near))


def _example(row: dict[str, Any] | Fault) -> Example:
    """A row's chat; a `ValueError` says what the row lacks, without its words."""
    if isinstance(row, Fault):
        raise ValueError(_WORDS[row.reason])
    turns = row.get("messages")
    if turns is None and {"question", "answer"} <= row.keys():
        turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
    if turns is None:
        raise ValueError("has neither messages nor question and answer")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("has messages that are no list of objects with role and content")
    if not all(isinstance(text := turn.get("content"), str) and text.strip() for turn in turns):
        raise ValueError("has a turn without text")
    if any(_has_half_characters(turn["content"]) for turn in turns):
        raise ValueError("has half characters (surrogates)")
    roles = [turn.get("role") for turn in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        raise ValueError("has turns that do not go user, assistant and so on to an answer, after a system's at most")
    messages = [Message(role=turn["role"], content=turn["content"]) for turn in turns]
    group = keyed_hash("replay", _opening(messages))
    return Example(keyed_hash("replay", json.dumps(messages)), "chat", "replay", group, "", messages, [], [])


def _has_half_characters(text: str) -> bool:
    return text.encode("utf-8", "ignore").decode() != text


def _opening(messages: list[Message]) -> str:
    """The first question, whatever its case and blanks."""
    return " ".join(next(m["content"] for m in messages if m["role"] == "user").casefold().split())
