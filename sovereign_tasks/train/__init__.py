"""From a snapshot to an adapter, and to the base beneath it."""
