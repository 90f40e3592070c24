"""L3: adapters: the only place that imports phonopy, phono3py and symfc."""
