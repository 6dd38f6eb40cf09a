"""Evaluation: answers of a model → forecasts → scores. Reads manifests and the store, never prep, train or report."""
