"""The managers of a site, each asked over the HTTP bridge of the router."""
