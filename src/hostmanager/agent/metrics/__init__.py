"""Figures of the manager for tools that plot and alert: a page for Prometheus, a feed for OCS."""
