"""Encoders and what is computed with them without a full fine-tuning run: vectors, Fisher information, scores."""
