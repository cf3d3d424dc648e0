"""Reports: written once, as Markdown and as a page that stands alone."""
