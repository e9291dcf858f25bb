"""End-to-end: a real router, a real manager, real agents, the real clients of OCS."""
