"""The ledger: forecasts written before the outcome, a hash chain per run, scored when the week is over, one page."""
