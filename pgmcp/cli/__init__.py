"""The command line: flags, the administrator's verbs, and the program's entry."""
