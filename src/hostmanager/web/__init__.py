"""The page for the whole site: a face on `client/`, for browsers."""
