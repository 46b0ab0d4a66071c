"""`python -m postcall`, as the supervisor starts its children."""

from postcall.cli import main

main()
