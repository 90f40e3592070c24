"""``python -m elphant``."""

from elphant.cli.app import main

if __name__ == "__main__":
    main()
