"""Runs as Jobs of a Kubernetes cluster: settings, Jobs, the client, and what their states mean."""
