// Shows changes as they come.
