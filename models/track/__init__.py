"""A network for one song: a small autoencoder fitted to a single track, what it hears, and what that costs in bits."""
