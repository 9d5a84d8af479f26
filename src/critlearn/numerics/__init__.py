"""Numbers below everything else: windows, log-binned sketches, roots, seeds; imports nothing of critlearn but errors."""
