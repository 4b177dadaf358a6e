"""The DAGs of every model: thin wiring around `sovereign_tasks.stages`."""
