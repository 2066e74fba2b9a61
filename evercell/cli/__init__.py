"""The command line. One module per noun; nothing here decides anything."""


def main() -> None:
    """Entry point of ``evercell``."""
    from evercell.cli.app import app

    app()
