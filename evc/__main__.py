"""`python -m evc` is the command `evc`."""

from evc.cli.main import main

if __name__ == "__main__":
    main()
