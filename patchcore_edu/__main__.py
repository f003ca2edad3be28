"""python -m patchcore_edu demo | doctor | pictures | site"""

import argparse

from patchcore_edu.backbone import BACKBONES
from patchcore_edu.commands.demo import demo
from patchcore_edu.commands.doctor import doctor
from patchcore_edu.commands.pictures import pictures
from patchcore_edu.commands.site import site
from patchcore_edu.datasets import PhotoTextures


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 if all went well."""
    parser = argparse.ArgumentParser("python -m patchcore_edu", description="See PatchCore work on a real photograph.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("demo", help="fit, predict, print the figures, save one picture")
    run.add_argument("--category", default="brick", choices=PhotoTextures.categories)
    run.add_argument("--backbone", default="efficientnet_lite0", choices=list(BACKBONES))
    run.add_argument("--out", default="demo.png", help="where to save the picture (default: %(default)s)")
    commands.add_parser("doctor", help="say whether this machine can run the course")
    drawn = commands.add_parser("pictures", help="make the README's pictures again")
    drawn.add_argument("out", nargs="?", default="notebooks/pictures", help="the folder (default: %(default)s)")
    pages = commands.add_parser("site", help="run all notebooks and write them as plain web pages")
    pages.add_argument("out", help="the folder to write to")
    chosen = parser.parse_args(arguments)
    if chosen.command == "doctor":
        return doctor()
    if chosen.command == "demo":
        demo(chosen.category, chosen.backbone, chosen.out)
    else:
        {"pictures": pictures, "site": site}[chosen.command](chosen.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
