"""The managers of a site, followed: asked again and again, and when their feeds say so."""
