"""Runs as Jobs of a Kubernetes cluster: what a site is, what its Jobs look like, and the client that asks for them."""
