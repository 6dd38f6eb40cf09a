"""Accuracy of codes."""
