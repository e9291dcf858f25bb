"""Compose services on a real Docker Engine; `python -m tests.docker.engine up` gets one."""
