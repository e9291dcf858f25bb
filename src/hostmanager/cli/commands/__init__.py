"""One module for each subcommand, named like it."""
