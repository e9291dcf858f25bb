"""The documentation site: `make docs` builds it; a warning is an error.

The pages are the Markdown files beside this one. The reference of the code is made from the
docstrings, that of the command line from the parsers (`make_cli.py`).
"""

from importlib.metadata import version as installed_version

project = "HostManager"
author = "The HostManager developers"
release = version = installed_version("ocs-hostmanager")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.apidoc",
    "sphinxcontrib.mermaid",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
exclude_patterns = ["_build"]

# Headings can be linked to, as on a page of a forge: [text](page.md#the-heading).
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

apidoc_modules = [
    {
        "path": "../src/hostmanager",
        "destination": "reference",
        "separate_modules": True,
        "module_first": True,
        "implicit_namespaces": False,
        # Programs of their own, and what a static page cannot import.
        "exclude_patterns": ["**/__main__.py"],
    }
]
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "undoc-members": True,
    # What a package passes on is documented where it is defined, once.
    "ignore-module-all": True,
}
autodoc_typehints = "description"
napoleon_use_ivar = True

# "bytes" in an annotation is the built-in type, although attributes of that name exist.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "HostManager"
