"""The latent layer: a learned encoder of what the other layers leave over, and its decoder (spec 8.2, 10.10)."""
