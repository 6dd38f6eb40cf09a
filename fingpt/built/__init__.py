"""Data sets built from own symbols: rows of the features, searched for leaks, stored as a whole under `built/<id>/`."""
