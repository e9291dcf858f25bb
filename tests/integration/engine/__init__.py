"""Compose services on a real Docker Engine; `python -m tests.support.private_engine up` gets one."""
