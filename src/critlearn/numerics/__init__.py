"""Windows, sketches and files of numbers, on which everything else stands; imports nothing of critlearn but errors."""
