"""L6: one file per figure."""
