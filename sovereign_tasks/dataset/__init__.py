"""Documents become grounded examples, examples a validated, versioned snapshot."""
