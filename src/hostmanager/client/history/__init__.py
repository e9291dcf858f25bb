"""What the journals of managers tell: entries, timelines, reports, resources."""
