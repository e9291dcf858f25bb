"""The hands: drivers that make instances run and end, behind the core's `Driver` protocol."""
