"""`python -m noderack_cli` is `nodes`."""

from noderack_cli.main import main

if __name__ == "__main__":
    main()
