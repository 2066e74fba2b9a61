"""A namespace as bytes and back: provenance, groups, serialising, signing. Knows no kernel and no database."""
