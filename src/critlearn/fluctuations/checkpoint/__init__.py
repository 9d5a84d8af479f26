"""Stop and go on: the state of an interrupted measurement on disk, and the fingerprint of what it belongs to."""
