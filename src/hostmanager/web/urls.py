"""Addresses of this server: below the root path, each part percent-encoded."""

from urllib.parse import quote, urlencode


def make_url(root_path: str, *parts: str, **query: object) -> str:
    """Make an address.

    Args:
        root_path: What all addresses begin with; may be empty.
        parts: Of the path; slashes in them (ids may have some) are encoded.
        query: Parameters; those that are None, empty or False are left out, lists are repeated.
    """
    path = "/".join(quote(part, safe="") for part in parts)
    given = [
        (name.rstrip("_"), value) for name, value in query.items() if value not in (None, "", False)
    ]
    text = urlencode(given, doseq=True)
    return f"{root_path}/{path}" + (f"?{text}" if text else "")
