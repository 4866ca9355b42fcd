"""The figures of a run, and figure files that hold where they come from."""
