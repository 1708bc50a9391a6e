"""The manager's commands, one file for each or for a few that belong together; rows in `main.COMMANDS`."""
