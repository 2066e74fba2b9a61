"""What outages, freezes, kills and clocks do to runs: see `bench.faults.__main__`."""
