"""Steer a recording of your own with a cell that the workflow has trained.

    .venv/bin/python workflow_scripts/steer.py in.wav --attribute pitch --class A4 --alpha 20 --from 2 --to 4 -o out.wav
    .venv/bin/python workflow_scripts/steer.py in.wav --attribute timbre --class 3000Hz --envelope "0:0 2:20" -o out.wav
    .venv/bin/python workflow_scripts/steer.py in.wav -o out.wav --reference autoencoder.wav --measure \\
        --control "pitch=A4 alpha=20 from=2 to=4 ramp=0.1" --control "amplitude=-20 envelope=0:0,2:20,4:0"
    .venv/bin/python workflow_scripts/steer.py --list [ATTRIBUTE]

A control adds α times the control vector of a class to the code of every frame; several add up. It is given by
--attribute, --class and --alpha (--from, --to, --ramp) or --envelope, and as often as you like by --control:

    ATTRIBUTE=CLASS alpha=A [from=S] [to=S] [ramp=S]    α = A from one time to another, or to an end of the file;
                                                        ramps of S seconds lie within, at the times that are given
    ATTRIBUTE=CLASS envelope=S:A,S:A,...                α in straight lines between times, held before and after

A class is named as --list ATTRIBUTE does (A4, unvoiced), by a value that lies in it (-20, 3000Hz, -20dBFS; in the
attribute's unit), or by its position (index:38). What has spaces is quoted: "timbre='194 to 454 Hz' alpha=9".

The result is a 16-bit WAV at the encoder's rate, as long as the recording. Beyond the reach of the decoder from what is
steered it is what the autoencoder makes of the recording, which --reference writes. Exit code: 0, 1 if it fails, 2 if
the call is not understood; nothing is written then.
"""

import argparse
import contextlib
import re
import sys
from pathlib import Path

from sonolens import audio
from sonolens.steering import requests, trained_cells
from sonolens.steering.requests import Request

# Options whose value may begin with a minus sign
NUMERIC_OPTIONS = ("--class", "--alpha", "--from", "--to", "--ramp", "--envelope")


def main(arguments: list[str] | None = None) -> int:
    """Steer one file, or list what it can be steered with; the exit code."""
    parser = _parser()
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        asked = [] if options.list is not None else _requests(options)
    except ValueError as error:
        parser.error(str(error))
    try:
        if options.list is not None:
            print(trained_cells.listed(options.results, options.list))
        else:
            _steer(options, asked)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="steer.py",
        usage="%(prog)s RECORDING -o OUT.wav CONTROLS (--help explains them)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("recording", nargs="?", type=Path, help="the recording: WAV, FLAC, MP3, M4A, ..., mono or stereo")
    add("-o", "--output", type=Path, metavar="OUT.wav", help="where the steered sound goes")
    add("--attribute", metavar="NAME", help="what is steered (pitch, amplitude, timbre)")
    add("--class", dest="wanted", metavar="CLASS", help="towards which class: a name, a value, or index:N")
    add("--alpha", metavar="A", help="how strongly; 1 to 30 in the paper, negative leads away")
    add("--from", metavar="S", help="from this time on, in seconds (default: the beginning)")
    add("--to", metavar="S", help="up to this time, in seconds (default: the end)")
    add("--ramp", metavar="S", help="seconds in which α rises after --from and falls before --to (default: 0)")
    add("--envelope", metavar='"S:A S:A ..."', help="α over time, instead of the four above")
    add("--control", action="append", default=[], metavar='"..."', help="a control in one text, as often as you like")
    add("--without-norm", action="store_true", help="leave out the RMSNorm after the sum")
    add("--cell", metavar="ENCODER/NAME", help="a cell of --list (default: the first that the workflow has chosen)")
    add("--results", type=Path, default=Path("results"), metavar="FOLDER", help="the workflow's (default: results)")
    add("--reference", type=Path, metavar="REF.wav", help="also write the sound of the autoencoder without steering")
    add("--measure", action="store_true", help="print the attributes' means before and after, where it is steered")
    add("--force", action="store_true", help="overwrite an output that is there already (never the recording)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where it is computed (default: auto)")
    add("--threads", type=int, metavar="N", help="threads of a CPU (default: torch's)")
    add("--list", nargs="?", const="", metavar="ATTRIBUTE", help="print cells and attributes, or all classes of one")
    return parser


def _joined(arguments: list[str]) -> list[str]:
    """Arguments with `--class -20dBFS` as `--class=-20dBFS`: argparse would take such a value for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in NUMERIC_OPTIONS and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _requests(options: argparse.Namespace) -> list[Request]:
    """The controls of the command line. Raises ValueError if it is not understood, or lacks something."""
    if options.recording is None or options.output is None:
        raise ValueError("a recording and -o OUT.wav are needed (or --list)")
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads {options.threads}: 1 or more are needed")
    asked = [requests.read(text) for text in options.control]
    settings = {key: vars(options)[key] for key in requests.SETTINGS if vars(options)[key] is not None}
    if options.attribute is not None and options.wanted is not None:
        asked.append(requests.made(options.attribute, options.wanted, settings.items()))
    elif settings or options.attribute is not None or options.wanted is not None:
        raise ValueError("--attribute and --class go together, and say what the other options of a control are of")
    if not asked:
        raise ValueError("nothing to steer to: give --attribute, --class and --alpha, or --control")
    return asked


def _steer(options: argparse.Namespace, asked: list[Request]) -> None:
    outputs = [path for path in (options.output, options.reference) if path]
    requests.check_files(options.recording, outputs, options.force)
    cells = trained_cells.find(options.results)
    cell = trained_cells.pick(cells, options.cell)
    print(f"cell: {cell.name}" + ("" if options.cell or len(cells) == 1 else " (--cell takes another one of --list)"))
    classes = trained_cells.classes(cell, options.results)
    targets = [requests.target(request, classes) for request in asked]
    for target in targets:
        print(f"towards: {target.attribute} '{target.name}' (index:{target.class_index})")

    from sonolens.steering import own_file  # torch, which no mistake above has to wait for

    with contextlib.redirect_stdout(sys.stderr):  # what loading and measuring say of themselves
        device = own_file.set_up(options.device, options.threads)
        loaded = own_file.load(cell, options.results, targets, device)
        wants_reference = options.reference is not None or options.measure
        sounds = own_file.steer(options.recording, loaded, targets, not options.without_norm, wants_reference)
        attributes = trained_cells.attributes(cell) if options.measure else {}
        measured = own_file.measure(sounds, attributes, targets, device)
    for note in requests.notes(targets, sounds.duration_s):
        print(f"note: {note}", file=sys.stderr)
    print(f"{sounds.n_steered} of {sounds.n_frames} frames are steered")
    for output, samples in zip(outputs, (sounds.steered, sounds.reference), strict=False):
        n_clipped = audio.write_wav(output, samples, sounds.sample_rate_hz)
        print(f"wrote {output}: {sounds.duration_s:.3f} s at {sounds.sample_rate_hz} Hz, {n_clipped} samples clipped")
    if measured:
        units = {name: one.unit for name, one in classes.items()}
        print(own_file.measured_text(measured, units))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
