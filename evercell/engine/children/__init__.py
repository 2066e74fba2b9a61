"""Runs that start runs: the start that happens once, the wait that holds nothing, the values that come back."""
