"""Invented data: the shipped sample of rows, and tiny base models that a CPU trains in seconds."""
