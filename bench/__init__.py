"""Ours beside the reference, in one run on one machine: ``python -m bench --help``."""
