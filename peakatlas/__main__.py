"""``python -m peakatlas``, for launchers such as torchrun that start modules."""

from peakatlas.cli.main import main

main()
