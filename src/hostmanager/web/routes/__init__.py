"""One module for each part of the page: its addresses, and what answers them."""
