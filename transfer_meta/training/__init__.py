"""Fine-tuning of one stage: settings, data, training loop, metrics and resumable state."""
