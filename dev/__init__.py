"""What a developer's machine needs and a deployment never sees: the local host, the simulated tenant, the sample firm."""
