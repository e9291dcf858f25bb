# ruff: noqa: A005  a room of the house, not the module
