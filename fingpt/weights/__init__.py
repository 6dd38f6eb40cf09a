"""Base weights: from a hub into the store, and from the store onto this machine, verified."""
