"""``python -m gateway.cli``: the command line by the interpreter that runs, wherever ``callgate`` is installed."""

from gateway.cli import main

if __name__ == "__main__":
    main()
