"""Alarms: people are notified of what is wrong at a site, and when it is over."""
