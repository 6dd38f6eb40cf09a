"""Sources that are asked over the network: one file each, all through one client that paces, retries and keeps keys."""
