"""The compose room: files read, files followed, the command run. No engine is needed."""
