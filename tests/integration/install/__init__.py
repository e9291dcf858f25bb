"""The package as people get it: built, and installed into environments that have nothing else."""
