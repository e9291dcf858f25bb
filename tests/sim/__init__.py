"""Days of failures in seconds: the supervisor among fakes, with virtual time."""
