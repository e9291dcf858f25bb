"""What shells need to complete the command, agents' ids included.

The script for a shell (`scripts`) is a few lines: at each Tab it calls ``hostmanager completion
candidates`` with the words that are typed, the unfinished one last. `candidates` answers from a
table of all commands and options (`table.json`) and, for ids, hosts and classes, from the site
config. The table is made from the parsers by ``docs/make_cli.py`` (`table`): making the parsers
at each Tab takes half a second, reading the table a tenth of that.
"""
