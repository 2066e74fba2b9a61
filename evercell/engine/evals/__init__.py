"""How well an agent does, read from what its run recorded."""
