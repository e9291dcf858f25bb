"""The compose services of a host: which there are, which instance each is, and its driver."""
