"""Imported by the server that forks processes: what each of them would load anew is loaded here, once."""

from importlib import import_module

from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.toxicity import toxicity

LIBRARIES = ("great_expectations", "mlflow", "transformers.models.llama.modeling_llama", "transformers.trainer_utils")
STAGES = ("assemble", "curation", "due", "erasure", "export", "gather", "publish", "retrain", "select", "validate")

for name in (*LIBRARIES, "sovereign_tasks.causal_lm", *(f"sovereign_tasks.stages.{stage}" for stage in STAGES)):
    import_module(name)
identify("The boards are nailed to the wall.", ["en"])
toxicity("The boards are nailed to the wall.")
