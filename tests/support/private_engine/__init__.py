"""A private Docker Engine for the tests: installed, started, ended, without a trace.

`python -m tests.support.private_engine up` runs before there is a virtual environment, so everything in
here needs the standard library alone.
"""
