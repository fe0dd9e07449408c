"""Signal analysis and synthesis: one folder per layer, and the pipeline that joins them."""
