"""What there is, as tables, text and HTML in which nothing can run: for pages, terminals and saved notebooks."""
