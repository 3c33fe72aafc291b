"""What a configuration comes to while it is served: the features, the front door, HTTP."""
