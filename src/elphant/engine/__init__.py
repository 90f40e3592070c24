"""L1: how work is executed: shards, worker processes, devices, memory. Knows no physics."""
