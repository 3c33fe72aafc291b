"""SQL as text: its lexical rules and quoting."""
