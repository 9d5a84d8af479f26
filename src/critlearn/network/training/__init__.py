"""Training steps: mean loss and mean gradient of a batch, at the speed of torch's own functions."""
