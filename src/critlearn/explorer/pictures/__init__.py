"""Pictures of the explorer: any figure of the package as a chart that can be zoomed, and the phase diagram."""
