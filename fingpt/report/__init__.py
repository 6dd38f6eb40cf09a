"""From manifests and scores to one comparative report; reads what the stages left behind and computes no model."""
