"""Numbers below everything else: windows and sketches; imports nothing of critlearn but errors."""
