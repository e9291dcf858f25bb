"""The page for the whole site: a web server that shows what the client layer knows.

It decides nothing about what is wrong; docs/web.md describes it, docs/architecture.md why it is built
this way.
"""
