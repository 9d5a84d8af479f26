"""Gradients of single samples for every trainable variable, in the cheapest exact form."""
