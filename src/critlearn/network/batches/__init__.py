"""Batches as people have them: what a data set gives is read as arguments of the network and targets of the loss."""
