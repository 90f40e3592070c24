"""L5: the stages of a run, one file each."""
