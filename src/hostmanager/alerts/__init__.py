"""Alarms: somebody is told what is wrong at a site, and when it is over."""
