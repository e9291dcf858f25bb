"""Real parts that the demo, the tests and the bench start: a crossbar router."""
