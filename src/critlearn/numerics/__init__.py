"""Numbers below everything else: windows, sketches, seeds; imports nothing of critlearn but errors."""
