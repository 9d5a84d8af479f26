"""Neural systems on directed graphs of boundary and bulk neurons."""
