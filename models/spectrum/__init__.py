"""Residual hints: the spectrum layer, from analysis to synthesis."""
