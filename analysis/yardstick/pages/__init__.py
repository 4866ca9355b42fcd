"""What is opened in a browser: the report of a run, the acceptance table, the gallery."""
