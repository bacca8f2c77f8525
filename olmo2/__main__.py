"""python -m olmo2 is the command olmo2."""

from olmo2.cli import main

if __name__ == "__main__":
    main()
