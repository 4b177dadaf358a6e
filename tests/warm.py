"""Imported by the server that forks processes: what each of them would load anew is loaded here, once."""

import great_expectations
import mlflow
import transformers.models.llama.modeling_llama
import transformers.trainer_utils

from sovereign_tasks import causal_lm
from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.toxicity import toxicity
from sovereign_tasks.stages import assemble, curation, due, erasure, export, gather, publish, retrain, select, validate

__all__ = ["assemble", "causal_lm", "curation", "due", "erasure", "export", "gather", "great_expectations", "mlflow"]
__all__ += ["publish", "retrain", "select", "transformers", "validate"]

identify("The boards are nailed to the wall.", ["en"])
toxicity("The boards are nailed to the wall.")
