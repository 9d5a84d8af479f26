"""State of an interrupted measurement on disk, and the fingerprint of the measurement that it belongs to."""
