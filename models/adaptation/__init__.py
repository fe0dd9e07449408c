"""A network of its own for each track: what its file says of the weights that decode it (spec 3.8, 10.13)."""
