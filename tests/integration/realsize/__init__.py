"""A host of real size: 55 instances of socs (PyPI) as its documentation gives them, `socs.yaml`."""
