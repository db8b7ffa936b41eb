"""The command line of an admin: `python -m sync.admin`. It speaks to the admin API over HTTP and knows nothing else."""
