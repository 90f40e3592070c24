"""L5: drivers that connect files, models, physics and results."""
