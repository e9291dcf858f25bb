"""The command `hostmanager`: one small module for each subcommand."""
