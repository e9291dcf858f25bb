"""Changes of targets: planned, carried out, and watched until they are done."""
