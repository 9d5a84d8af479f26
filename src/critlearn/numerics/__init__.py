"""Windows, sketches and exact text, on which everything else stands; imports nothing of critlearn but errors."""
