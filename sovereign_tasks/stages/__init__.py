"""One function per DAG task: read, call the rooms, write, and return a small reference.

The only place where rooms meet. `build` takes a night from sources to a published snapshot, `retrain` a snapshot
to a judged and perhaps promoted version.
"""
