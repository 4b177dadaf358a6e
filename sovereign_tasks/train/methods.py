"""Adapter methods: what is trained on a base that stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel


SCORES_AT_ONCE = 1 << 27
"""Most scores (answer tokens times vocabulary) that are computed together: with their gradients some 1.6 GB."""


def is_checkpointed(config: TrainingConfig, *, gpu: bool) -> bool:
    """Whether layers keep only their inputs and are computed again on the way back.

    What prefix tuning puts before a text can't be, and a processor has memory enough.
    """
    return gpu and config.method != "prefix"


def is_quantised(config: TrainingConfig) -> bool:
    """Whether the base stands in 4 bits under the adapter."""
    return config.method != "lora"


def attach(model: Any, config: TrainingConfig, start: Path | None = None) -> PeftModel:
    """Put an adapter on a base, the one in the folder `start` or a fresh one; nothing else of it is trained.

    What is not quantised stays in the precision it was loaded in: copies of it in fp32 cost memory and bring nothing.
    """
    from peft import get_peft_model, load_peft_weights, set_peft_model_state_dict

    model.requires_grad_(False)
    try:
        adapted = get_peft_model(model, describe(config, model.config.num_hidden_layers))
    except (ValueError, KeyError) as e:  # a kind of model that the method does not know
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise UserError(
            f"training.method: {config.method} is not to be had on a base of the kind {model.config.model_type} "
            f"({first}); qlora goes with any."
        ) from None
    if start:
        set_peft_model_state_dict(adapted, load_peft_weights(str(start), device=str(model.device)))
    return adapted


def describe(config: TrainingConfig, layers: int) -> PeftConfig:
    """The library's settings of a training block's adapter, for a base of so many layers."""
    from peft import AdaptionPromptConfig, IA3Config, LoraConfig, PrefixTuningConfig

    if config.method == "ia3":
        return IA3Config(task_type="CAUSAL_LM")
    if config.method == "prefix":
        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=config.virtual_tokens)
    if config.method == "adaption_prompt":
        return AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=config.virtual_tokens, adapter_layers=layers)
    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        use_dora=config.method == "dora",
        use_rslora=config.method == "rslora",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
