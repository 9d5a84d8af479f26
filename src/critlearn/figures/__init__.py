"""Figures, drawn from arrays, tables and plain records alone; nothing is shown or saved, no global state is touched."""
