"""Transferability scores of frozen features and of predicted labels."""
