"""ROUGE per pair."""
