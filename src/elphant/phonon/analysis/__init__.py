"""L3: what a set of modes, rates and force constants says: pure functions of arrays."""
