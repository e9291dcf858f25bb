"""The functional core: states, rules and records as plain data.

Nothing in this package touches the world. It imports the standard library and `util` alone, gets
the time as an argument, and requests actions of drivers; so a day of failures runs in a second.
"""
