"""Python source: what a cell reads, binds and depends on, told without running it."""
