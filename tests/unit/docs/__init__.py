"""Pages that are made from the code are what the code makes."""
