"""Imported by the server that forks the processes of nights: what each of them would load anew is loaded here, once."""

from sovereign_tasks.curate.language import identify
from sovereign_tasks.curate.toxicity import toxicity

identify("The boards are nailed to the wall.", ["en"])
toxicity("The boards are nailed to the wall.")
