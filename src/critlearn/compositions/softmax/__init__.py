"""Softmax followed by cross-entropy, for class indices and for targets that are probabilities."""
