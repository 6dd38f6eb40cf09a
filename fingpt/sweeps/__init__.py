"""Searches over runs: definitions and their checks, plans, trials and their records, what was found."""
