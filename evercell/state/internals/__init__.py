"""Names that libraries keep to themselves, a module for each library: what for, and what happens without them."""
