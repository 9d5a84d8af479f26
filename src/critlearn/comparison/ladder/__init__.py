"""Ladder of predictions for every trainable variable, and the anatomy of an exponent."""
