"""What a developer's machine needs and a deployment never sees: local host, simulated tenant, sample firm."""
