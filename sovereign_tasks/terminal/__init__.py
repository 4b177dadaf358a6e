"""What a person sees in the terminal: live progress, the closing tables, the commands behind `make run`."""
