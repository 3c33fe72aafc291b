"""The manual: pages in Markdown, which -help prints too, so that it is where the program is."""
