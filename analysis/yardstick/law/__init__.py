"""Loss over the number of experts: published laws, their refit, gains per doubling."""
