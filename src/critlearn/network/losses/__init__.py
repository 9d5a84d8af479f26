"""Losses of torch's: replaced by forms that are exact in the tail, or differentiated automatically."""
