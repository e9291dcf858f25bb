"""Tests; see the module of the same name in `src/hostmanager`."""
