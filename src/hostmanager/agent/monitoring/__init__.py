"""What is seen of the agents while they run: health, resources, the time off target, the router."""
