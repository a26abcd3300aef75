"""How `make docs` builds the pages: Sphinx, MyST Markdown, the furo theme; a warning is an
error."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import ssl_patches  # noqa: E402

project, author, release = "ssl_patches", "the ssl_patches authors", ssl_patches.__version__
copyright = "the ssl_patches authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "settings_page"]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the page of settings has many short sections

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_class_signature = "mixed"

html_theme = "furo"
html_title = "ssl_patches"
html_static_path = ["_static"]
html_css_files = ["lists.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"
