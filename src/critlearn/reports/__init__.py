"""Reports: the pages of one run, of many, and of the repeated experiments; made from stored numbers alone."""
