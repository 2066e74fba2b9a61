"""Policy: what a run's calls and steps may do is decided before they do it."""
