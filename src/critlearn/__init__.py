"""critlearn: measure, predict and design the power laws in the fluctuations of learning."""
