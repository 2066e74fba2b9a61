"""How values of each type are kept: refused, rebuilt, or taken apart, and which of them can be shared."""
