"""A base model's shape: its parameters counted on torch's meta device, where they have sizes and no values."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovereign_tasks.causal_lm import hush
from sovereign_tasks.errors import UserError
from sovereign_tasks.training_config import TrainingConfig

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

CHANGED_SCORES = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that change what the head gives: Gemma 2, Cohere, Granite."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What memory and time of a training follow from.

    Parameters: `linears` are those of all linear layers but the head, `largest` those of the largest of them, `others`
    the rest of the base, `multiplied` all that each token is multiplied with (neither embeddings nor head), `trained`
    the adapter's. `inputs` and `outputs` are the widths of one layer's linears, added up.
    `scores_alone` says that scores are what the head gives, so that those of answers can be computed alone.
    """

    linears: int
    others: int
    multiplied: int
    trained: int
    largest: int
    quantised: bool
    layers: int
    hidden: int
    vocabulary: int
    inputs: float
    outputs: float
    scores_alone: bool = True

    @property
    def parameters(self) -> int:
        """All parameters of the base."""
        return self.linears + self.others


def sketch(config: PretrainedConfig) -> PreTrainedModel:
    """The model of a configuration without weights; a `UserError` where transformers knows none for it."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError:
        raise UserError(
            f"training.base_model: {config.model_type} is no causal language model that transformers knows."
        ) from None


def count(model: PreTrainedModel, training: TrainingConfig) -> Shape:
    """The shape of a sketched model, which is changed for it, under the adapter of a training block."""
    hush()  # before bitsandbytes is imported
    import torch

    from sovereign_tasks.train.methods import attach, is_quantised

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peft, which nobody here can heed
        adapted = attach(deepcopy(model), training)  # before it is quantised: DoRA would look for values
    _quantise(model)  # also where it is not trained so: all kinds of linear layers are of one class then
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    tables = {id(m.weight): m.weight.numel() for m in (model.get_input_embeddings(), head)}
    parameters = sum(p.numel() for p in model.parameters())
    sizes = [m.weight.numel() for m in linears]
    settings = model.config.get_text_config()
    return Shape(
        linears=sum(sizes),
        others=parameters - sum(sizes),
        multiplied=parameters - sum(tables.values()),
        trained=sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        largest=max(sizes),
        quantised=is_quantised(training),
        layers=settings.num_hidden_layers,
        hidden=settings.hidden_size,
        vocabulary=head.weight.shape[0],
        inputs=sum(m.in_features for m in linears) / settings.num_hidden_layers,
        outputs=sum(m.out_features for m in linears) / settings.num_hidden_layers,
        scores_alone=not any(getattr(settings, name, None) for name in CHANGED_SCORES),
    )


def _quantise(model: PreTrainedModel) -> None:
    """Put 4-bit layers where loading the model in 4 bits would: everywhere but in the head and what is tied to it."""
    from transformers import BitsAndBytesConfig
    from transformers.integrations import replace_with_bnb_linear
    from transformers.quantizers.base import HfQuantizer

    kept = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
    replace_with_bnb_linear(model, kept, BitsAndBytesConfig(load_in_4bit=True))
