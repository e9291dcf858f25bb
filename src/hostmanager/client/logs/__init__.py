"""The output of agents: read from their managers, and selected."""
