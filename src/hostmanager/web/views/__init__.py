"""What the pages say, as plain data: what was asked for, and the words for it."""
