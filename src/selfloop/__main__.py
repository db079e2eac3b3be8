"""Run the command line with ``python -m selfloop``."""

from selfloop.cli import main

if __name__ == "__main__":
    main()
