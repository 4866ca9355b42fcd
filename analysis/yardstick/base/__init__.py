"""Errors with exit codes, results that are written whole or not at all, other hands' files, and text that no reader takes for markup."""
