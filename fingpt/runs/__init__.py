"""Runs: their identity, what their stages leave behind, the frame that stages run in, and what a store says of them."""
