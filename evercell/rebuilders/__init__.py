"""Rebuilders of what data scientists hold, by field. Each module registers its own when it is imported."""
