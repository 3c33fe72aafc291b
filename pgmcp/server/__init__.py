"""A configuration while it is served: its features, authentication, HTTP and its pages."""
