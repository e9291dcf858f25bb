"""Asks the managers of a site, judges their reports and carries out changes, for every face."""
