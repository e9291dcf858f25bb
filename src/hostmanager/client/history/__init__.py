"""What the journals of managers record: entries, timelines, reports, resources."""
