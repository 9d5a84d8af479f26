"""Counting of fluctuations into histograms of logarithms, on the CPU or any torch device."""
