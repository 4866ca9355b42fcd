"""A run folder opened as one dataset, its routing sample, classes and domains of tokens."""
