"""All tests; `tests.support` is shared with the bench."""
