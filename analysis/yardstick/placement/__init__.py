"""Where experts live: placements on nodes and ranks that keep what one token chooses together on one node, and what they send."""
