"""Where the output of processes goes: into files directly, or through the log daemon."""
