"""Every state that one instance can reach, explored; see `model`."""
