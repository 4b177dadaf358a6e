"""Causal language models: loading them in 4 bits, speaking their chat format, and naming them.

The only place that loads a model, so that training, evaluation and serving see the same weights and the
same tokens. Everything is read from local folders; nothing here goes to a network, and neither pickled
weights nor a model's own code are ever loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_tasks.errors import UserError
from sovereign_tasks.records import Message

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

NO_LOSS = -100
"""The label that losses ignore."""
TURN_MARKS = ("<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (  # ChatML; a turn ends with the tokenizer's own end token, at which generation stops
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IDENTITY = (".safetensors", ".json", ".jinja", ".model", ".txt")
WHOLE_BASE = "whole-base.json"
"""Stands beside an adapter whose base is not quantised."""
FLASH, FLASH_CAPABILITY = "flash_attention_2", (8, 0)
"""The library's name of the package flash-attn's kernels, and the least compute capability they are built for."""
NOT_IDENTITY = ("origin.json", "training.json")  # what we note about a folder is not what it computes


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation as token ids; `answer_start` is where the closing assistant turn begins.

    `text_tokens` [first, end) hold that turn's own text, without what the template puts around it: `text_bytes` of it,
    in UTF-8.
    """

    input_ids: list[int]
    answer_start: int
    text_tokens: tuple[int, int]
    text_bytes: int

    @property
    def labels(self) -> list[int]:
        """The ids with everything before the answer set to NO_LOSS."""
        return [NO_LOSS] * self.answer_start + self.input_ids[self.answer_start :]


def seed_all(seed: int) -> None:
    """Seed Python, numpy and torch; results then repeat exactly at a fixed number of threads."""
    from transformers import set_seed

    set_seed(seed)


def hush() -> None:
    """Turn off the progress bars and remarks of the libraries; what matters is raised or reported."""
    from transformers.utils import logging as remarks

    remarks.disable_progress_bar()
    remarks.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def check_folder(folder: Path) -> None:
    """Raise a `UserError` unless the folder holds a model that may be loaded here."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; set training.base_model to a model folder or to scratch.")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        found = "holds pickled weights, which are never loaded" if pickled else "holds no weights"
        raise UserError(f"{folder}: {found}; convert the model to safetensors.")
    if not (folder / "config.json").exists():
        raise UserError(f"{folder}: has no config.json; a transformers model folder is needed.")


def hash_folder(folder: Path) -> str:
    """SHA-256 over a model's or an adapter's weights, tokenizer and configuration, files in order of name."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in IDENTITY and path.name not in NOT_IDENTITY:
            with path.open("rb") as f:
                inner = hashlib.file_digest(f, "sha256").hexdigest()
            digest.update(f"{path.name} {inner}\n".encode())
    return digest.hexdigest()


def load_config(folder: Path) -> PretrainedConfig:
    """A folder's configuration of its model, without any weights."""
    from transformers import AutoConfig

    check_folder(folder)
    with _readable(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A folder's tokenizer; it gets a ChatML template if it has none, and a pad token of its own."""
    from transformers import AutoTokenizer

    with _readable(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise UserError(f"{folder}: its tokenizer has no tokenizer.json; save it as a fast tokenizer.")
    if tokenizer.chat_template is None:
        tokenizer.chat_template = CHAT_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # only ever masked: padding carries no loss here
    return tokenizer


def compute_dtype() -> torch.dtype:
    """What a 4-bit base computes in here: fp32 on a CPU, bf16 on a GPU that has it, fp16 on one that has not."""
    import torch

    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def check_attention(attention: str, kind: type[PreTrainedModel]) -> None:
    """Raise a `UserError` where training.attention is flash and a model of this kind can't have it here.

    The library would then look for kernels of the hub instead.
    """
    if attention != "flash":
        return
    import torch
    from transformers.utils import is_flash_attn_2_available

    listed = getattr(kind, "_compatible_flash_implementations", None)
    if not torch.cuda.is_available():
        lacking = "there is no CUDA card here"
    elif torch.cuda.get_device_capability() < FLASH_CAPABILITY:
        lacking = f"{torch.cuda.get_device_name()} has a lower compute capability than 8.0"
    elif not is_flash_attn_2_available():
        lacking = "the package flash-attn, 2.3.3 or newer, is not installed"
    elif fault := _import_fault("flash_attn"):
        lacking = f"the package flash-attn was built for another torch or CUDA ({fault})"
    elif not kind._supports_flash_attn or FLASH not in (listed or [FLASH]):
        lacking = f"models of the kind {kind.__name__} do not take it"
    else:
        return
    raise UserError(f"training.attention: flash is not to be had: {lacking}; set it to sdpa.")


def load_base(
    folder: Path, *, quantised: bool = True, sharded: bool = False, attention: str = "sdpa"
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A base that computes in `compute_dtype`, from weights in 4-bit NF4 with double quantisation where `quantised`.

    What is to be `sharded` over cards stores those 4 bits in numbers of that type, which can be split. `attention` is
    as in training.attention; a `UserError` where it can't be had.
    """
    check_folder(folder)
    hush()  # before bitsandbytes is imported, which remarks on a kernel that would need a download
    import bitsandbytes as bnb
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

    dtype = compute_dtype()
    tokenizer = load_tokenizer(folder)
    check_attention(attention, MODEL_FOR_CAUSAL_LM_MAPPING.get(type(load_config(folder)), PreTrainedModel))
    with _readable(folder):
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map={"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"},
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation=FLASH if attention == "flash" else None,
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
                bnb_4bit_quant_storage=dtype if sharded else torch.uint8,
            )
            if quantised
            else None,
        )
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            # With AVX512-BF16 a forward without gradients repacks the weights for good, and later training
            # steps then run on a kernel without gradients.
            module.support_avx512bf16_for_cpu = False
    return model.eval(), tokenizer


def load_with_adapter(folder: Path, adapter: Path) -> tuple[PeftModel, PreTrainedTokenizerFast]:
    """A base with an adapter on it, in the precision it was trained in; a `UserError` if that was another base."""
    from peft import PeftModel

    settings = adapter / "adapter_config.json"
    if not settings.exists() or not (adapter / "adapter_model.safetensors").exists():
        raise UserError(f"{adapter}: is not an adapter; adapter_model.safetensors or its configuration is missing.")
    check_folder(folder)
    named = json.loads(settings.read_text(encoding="utf-8")).get("base_model_name_or_path") or ""
    if named.startswith("sha256:") and named != base_name(folder):
        raise UserError(f"{adapter}: was trained on another base than {folder}; train again on this one.")
    model, tokenizer = load_base_of(folder, adapter)
    return PeftModel.from_pretrained(model, adapter, local_files_only=True).eval(), tokenizer


def load_base_of(folder: Path, adapter: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The base without an adapter, in the precision that this one was trained in."""
    return load_base(folder, quantised=not (adapter / WHOLE_BASE).exists())


def base_name(folder: Path) -> str:
    """How an adapter's configuration names its base: by content and not by place, read once while it stays as it is."""
    stats = ((path.name, path.stat()) for path in sorted(folder.iterdir()))
    return _base_name(folder, tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats))


@lru_cache(maxsize=8)
def _base_name(folder: Path, _stamps: tuple[tuple[str, int, int, int], ...]) -> str:
    return f"sha256:{hash_folder(folder)}"


def encode_chat(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message], system_prompt: str) -> Chat:
    """A conversation that ends with an answer, as token ids that say where the answer begins.

    The answer runs through the end-of-turn token. What comes before is exactly what `encode_prompt` gives,
    so the model is trained and scored on the very prompt it is asked with, whatever the chat template.
    """
    turns = _turns(tokenizer, messages, system_prompt)
    prompt, text = _render(tokenizer, turns)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [start for start, _ in encoded["offset_mapping"]]
    first = next((i for i, start in enumerate(starts) if start >= len(prompt)), len(starts))
    answer = turns[-1]["content"]
    begin = text.find(answer, len(prompt))
    if begin < 0:  # the template renders it in words of its own
        begin, answer = len(prompt), text[len(prompt) :]
    close = begin + len(answer)
    own = [
        i for i, (start, end) in enumerate(encoded["offset_mapping"][first:], first) if start < close and end > begin
    ]
    held = text[max(begin, starts[own[0]]) : close] if own else ""
    return Chat(encoded["input_ids"], first, (own[0], own[-1] + 1) if own else (first, first), len(held.encode()))


def encode_alternatives(
    tokenizer: PreTrainedTokenizerFast,
    messages: Sequence[Message],
    system_prompt: str,
    said: str,
    others: Sequence[str],
) -> list[list[int]]:
    """A conversation with each of `others` in the place of what its answer has `said`, as token ids; itself first."""
    prompt, text = _render(tokenizer, _turns(tokenizer, messages, system_prompt))
    answer = text[len(prompt) :]
    texts = [prompt + answer.replace(said, other) for other in (said, *others)]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def encode_prompt(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message], system_prompt: str) -> list[int]:
    """A conversation that ends with a question, as the token ids that ask for an answer."""
    text = _apply(tokenizer, _turns(tokenizer, messages, system_prompt), prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def neutralise(text: str, tokenizer: PreTrainedTokenizerFast) -> str:
    """Text without special tokens or marks of turns, tools or thoughts: each gets a space after its first character.

    Such marks (<think>, <tool_call>) are often added tokens that aren't called special; added words of a trade, and
    runs of blanks, are no marks and stay.
    """
    added = tokenizer.added_tokens_decoder.values()
    marks = {t.content for t in added if t.special or _is_mark(t.content)} | set(TURN_MARKS)
    for token in sorted(marks, key=lambda t: (-len(t), t)):
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _is_mark(token: str) -> bool:
    inner = token.strip()
    return len(inner) > 1 and not (inner[0].isalnum() or inner[-1].isalnum())


def _import_fault(package: str) -> str:
    try:
        import_module(package)
    except ImportError as e:
        return (str(e).strip() or type(e).__name__).splitlines()[0]
    return ""


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (ValueError, OSError, KeyError, SafetensorError) as e:
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise UserError(f"{folder}: is not a causal language model that transformers can load: {first}") from None


def _turns(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message], system_prompt: str) -> list[Message]:
    own = [] if any(m["role"] == "system" for m in messages) else [Message(role="system", content=system_prompt)]
    return [
        Message(role=m["role"], content=neutralise(m["content"], tokenizer).strip())
        for m in (*own, *messages)
        if m["content"] or m["role"] != "system"
    ]


def _render(tokenizer: PreTrainedTokenizerFast, turns: list[Message]) -> tuple[str, str]:
    """The text that asks for the last turn, and the whole, which begins with it."""
    text = _apply(tokenizer, turns, prompt=False).rstrip()
    prompt = _apply(tokenizer, turns[:-1], prompt=True)
    if not text.startswith(prompt):
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template changes earlier turns once an answer follows; "
            "give the folder a template that only appends."
        )
    return prompt, text


def _apply(tokenizer: PreTrainedTokenizerFast, turns: list[Message], *, prompt: bool) -> str:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=prompt)
    except TemplateError as e:
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template refuses the turns "
            f"{', '.join(t['role'] for t in turns)} ({e}); try an empty training.system_prompt."
        ) from None
