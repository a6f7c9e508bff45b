"""``python -m peakatlas``, for launchers such as torchrun that start modules."""

from .cli import main

main()
