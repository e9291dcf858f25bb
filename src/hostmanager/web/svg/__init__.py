"""Pictures made by the server. Pure: data to SVG."""
