"""``python -m emprior``, which torchrun can start: the command line."""

from emprior.cli import main

main()
