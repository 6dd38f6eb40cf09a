"""Batch jobs that ask which fine-tuned language model forecasts stocks better, and whether either is worth using."""
