"""The entry point of the command line: `image-gateway …` and `python -m service …`."""

from service.commands.root import cli


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
