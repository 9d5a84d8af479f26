"""Reports: figures of a run, and the page that holds them; made from stored numbers alone."""
