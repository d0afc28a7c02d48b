"""What a person runs: the command, the embedded servers, the demo, verify and bench."""
