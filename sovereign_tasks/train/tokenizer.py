"""The tokenizer of a base from scratch, and the chat format that it teaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_tasks.causal_lm import CHAT_TEMPLATE, TURN_MARKS
from sovereign_tasks.general import general_examples
from sovereign_tasks.train.checkpoint import put_in_place

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
START, END_OF_TURN = TURN_MARKS
SPECIAL = [PAD, END, START, END_OF_TURN]
SYSTEM_PROMPTS = ("You are a helpful assistant.", "Answer in one plain sentence.", "")


def keep_tokenizer(path: Path, corpus: list[str], general: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """The tokenizer that an earlier try trained, or a new one, kept at `path`."""
    from tokenizers import Tokenizer

    if not path.exists():
        part = path.with_suffix(".part")
        make_tokenizer(corpus, general, vocabulary).backend_tokenizer.save(str(part))
        put_in_place(part, path)
    return _wrap(Tokenizer.from_file(str(path)))


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
