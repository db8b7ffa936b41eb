"""Faults by the thousand: generated cells, mutants that turn them red, and a machine of random mail."""
