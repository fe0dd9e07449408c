"""Noise hints: the levels of what the other layers leave over, and seeded noise of that colour."""
