"""The brain without hands: states, rules and bookkeeping on plain data.

Nothing in this package touches the world. It imports the standard library
alone, is told what time it is, and asks drivers to act; so a day of failures
can be run in a second.
"""
