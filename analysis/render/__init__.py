"""Reports as Markdown, terminal tables, pages and pictures."""
