"""Sums over all samples: drift and spread of each entry, and means of gradients below the smallest number."""
