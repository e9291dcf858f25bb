"""A site to look at: a real router, the manager and a few real agents, for a while."""
