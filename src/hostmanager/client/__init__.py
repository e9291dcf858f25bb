"""Asks the managers of a site, judges what they say and carries out changes, for every face."""
