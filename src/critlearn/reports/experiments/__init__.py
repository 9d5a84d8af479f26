"""Pages of the experiments that come with critlearn: the paper's, and the atlas of networks."""
