"""Measurements: ``python -m bench.steps``. No part of the package, and nothing in it imports from here."""
