"""Views: each shows one thing, as HTML in a notebook and as text everywhere else."""
