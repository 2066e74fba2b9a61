"""What changed in the live namespace: who shares what, what a cell could reach, what it did."""
