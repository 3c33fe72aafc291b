"""What is offered to clients: tools, resources and prompts, one file for each."""
