"""The site config: what should run on this host, and what is wrong with the file.

Names are imported from their modules. Nothing is imported here, because
`python -m hostmanager.siteconfig.plugins.installed_classes` passes through and must start quickly.
"""
