"""Checks before a run: store, disk, weights and rows on this machine; rights, capacity and images in the cluster."""
