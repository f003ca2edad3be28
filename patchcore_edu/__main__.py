"""python -m patchcore_edu COMMAND: one file of `patchcore_edu.commands` for each command."""

import argparse
import os
import sys
from importlib import import_module

COMMANDS = {
    "demo": "fit, predict, print the figures, save one picture",
    "doctor": "say whether this machine can run the course",
    "hub": "serve a workshop: a seat with the notebooks for each learner",
    "pack": "put wheels, notebooks and pages in one folder, for a room without internet",
    "pictures": "make the README's pictures again",
    "playground": "write PatchCore as one live web page that needs no Python",
    "progress": "show who has solved which exercise, and which mistakes were most common",
    "site": "run all notebooks and write them as plain web pages",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 if all went well.

    Each command's file has `arguments(parser)` and `run(chosen)`. It is imported only when it is needed: `doctor`
    must run where everything else is missing.
    """
    parser = argparse.ArgumentParser(
        "python -m patchcore_edu",
        description="Watch every equation of PatchCore at work.",
        epilog="\n".join(f"  {name:<10}{what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, help="see below; COMMAND --help lists its options")
    parser.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    command = import_module(f"patchcore_edu.commands.{chosen.command}")
    options = argparse.ArgumentParser(f"{parser.prog} {chosen.command}", description=COMMANDS[chosen.command])
    command.arguments(options)
    try:
        code = command.run(options.parse_args(chosen.options)) or 0
        print(end="", flush=True)  # report here what cannot be written: Python would do so at exit, in its own words
        return code
    except OSError as error:  # a file in the way, a read-only folder: the message says what to do
        try:
            print(end="", flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        parser.exit(1, "" if isinstance(error, BrokenPipeError) else f"{error}\n")  # nobody reads on after `| head`


if __name__ == "__main__":
    raise SystemExit(main())
