"""Notebooks without a front end: the papermill engine and the runner behind ``evercell run``."""
