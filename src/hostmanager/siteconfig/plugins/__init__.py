"""Installed OCS plugins: which agent classes there are, and which arguments they take."""
