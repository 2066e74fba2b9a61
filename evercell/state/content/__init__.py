"""Bytes under names: chunks by content, manifests that say what is in which, signatures."""
