"""L6: reports and figures; reads results only."""
