"""An adapter that leaves its base as it is, by which the base can be a version like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

from sovereign_tasks.causal_lm import base_name, hash_folder, load_config
from sovereign_tasks.train.methods import is_quantised
from sovereign_tasks.train.shape import sketch
from sovereign_tasks.training_config import TrainingConfig


def write_untrained(base: Path, output: Path, config: TrainingConfig) -> str:
    """Write it to a folder, whole or not at all, and give its hash; no weights of the base are read."""
    import torch
    from peft import LoraConfig, get_peft_model

    from sovereign_tasks.train.tuning import save_adapter

    settings = LoraConfig(r=1, lora_alpha=1, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(sketch(load_config(base)), settings)
    zeros = {name: torch.zeros(p.shape) for name, p in adapted.named_parameters() if p.requires_grad}
    part = output.with_name(f".{output.name}.untrained")
    for folder in (part, output):
        shutil.rmtree(folder, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    save_adapter(adapted, part, base_name(base), zeros, quantised=is_quantised(config))
    part.rename(output)
    return hash_folder(output)
