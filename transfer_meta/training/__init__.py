"""Fine-tuning one stage: settings, data, loop, metrics, and the state that makes a run resumable."""
