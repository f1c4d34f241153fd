"""How the pages are built: `make docs`."""

from emprior import __version__

project = "emprior"
copyright = "the emprior contributors, GPL-3.0-or-later"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["examples", "sg_execution_times.rst"]
# Tables are made by `emprior report`, and begin where a report has them.
suppress_warnings = ["myst.header"]

# The pages are read on the forge too: plain CommonMark, links between files.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"  # docstrings say types, shapes and units
numpydoc_show_class_members = False  # autodoc lists them

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "",  # all are run
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 5,
}

html_theme = "pydata_sphinx_theme"
html_title = "emprior"
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
