"""Servers, a Dask cluster, PostgreSQL, and runs; one after the other of all that is killed. See ``__main__``."""
