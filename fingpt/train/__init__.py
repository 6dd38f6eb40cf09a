"""The train stage: LoRA training on HF Trainer, resumable from the bucket; `body` imports no torch, `worker` does."""
