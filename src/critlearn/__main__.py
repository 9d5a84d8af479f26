"""``python -m critlearn``: the same program as ``critlearn``."""

from critlearn.cli.main import main

if __name__ == "__main__":
    main()
