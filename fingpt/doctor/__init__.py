"""Checks before anything is spent: store, disk, weights and rows here; rights, room and images in the cluster."""
