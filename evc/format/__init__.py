"""The format: bytes and integers (spec 1 to 9). Imports nothing above it, and names no model."""
