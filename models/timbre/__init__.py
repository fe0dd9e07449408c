"""The timbre layer: a path through a learned space of sustained sounds."""
