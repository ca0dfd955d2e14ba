#!/usr/bin/env python3
"""Times camrun and its peers at the same work, side by side: same weights, same input, same number of threads, float32.

Whichever of the peers can be imported take part (requirements.txt has the versions to publish with). Every contestant's
answer is compared with camrun's before anything is timed. Contestants take turns of a second, round after round, so
that whatever else the machine does hits all alike; the first round only warms up. A figure is the median over rounds of
each round's median. Writes compare.json, compare.md and compare.png.

Where `make build/bench` has been run, the machine's own ceilings take turns too: "floor" is what the operations that camrun's
forward makes take at the peak of multiply-adds, and its fully connected weights at the read bandwidth, both measured in
the same rounds. A ratio to a peer below the floor's is out of reach in those minutes.

What each peer does is in peers.py. This file says what is compared, takes the times and reports them.
"""
import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np  # and nothing heavier: a child's peak memory is never less than this process's own

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
ARCHS = ["alexnet", "vgg19", "resnet18", "resnet34", "resnet50"]
PARTS = ["forward", "gradcam", "process", "batch", "large"]
PEERS = [*peers.FORWARD, *peers.GRAD_CAM]
ENGINES = ["onnxruntime", "openvino", "ncnn", "torch"]  # in every part but Grad-CAM's; torch's other modes in one alone
TOLERANCE = 1e-3  # of the largest logit, or of a map's range
# Far from the output, ReLUs near zero amplify rounding (at layer1 PyTorch's own float32 strays up to 3 % from float64);
# and where each decodes the photograph itself, JPEG decoders differ by a grey level.
LOOSE_TOLERANCE = 1e-1
VERSIONS = ["numpy", "onnxruntime", "openvino", "ncnn", "pnnx", "torch", "torchvision", "grad-cam"]


# ---- what is compared ----

def make_job(args, arch, part, threads, *, batch=1, size=224, channels=3, classes=1000, layer=None):
    """What a contestant is to do, for peers.py as JSON."""
    files = os.path.join(args.models, f"{arch}_{classes}x{channels}_seed{args.seed}")
    shape_files = f"{files}_{batch}x{size}"
    return {"arch": arch, "part": part, "threads": threads, "batch": batch, "size": size, "channels": channels,
            "classes": classes, "layer": layer, "seed": args.seed,
            "files": files,                # .bin and .pth
            "shape_files": shape_files,    # .onnx, .ncnn.param and .ncnn.bin
            "input": shape_files + ".npy", "photo": args.photo}


def cases(args):
    """Jobs by variant: the contestants of one case take turns, each in every variant."""
    for threads in args.threads:
        for part in args.parts:
            for arch in args.archs:
                resnet = arch.startswith("resnet")
                if part == "forward" or part == "process":
                    variants = {"": {}}
                elif part == "gradcam":
                    variants = {"last": {}, **({"layer1": {"layer": "layer1"}} if resnet else {})}
                elif part == "batch":
                    variants = {"1": {}, "8": {"batch": 8}}
                elif arch != "resnet34":
                    continue
                else:
                    grey = {"channels": 1, "classes": 5}
                    variants = {"224": grey, "1024": {**grey, "size": 1024}}
                yield {name: make_job(args, arch, part, threads, **changes) for name, changes in variants.items()}


def contestants(args, part):
    """Peers that take part in it."""
    names = {"forward": peers.FORWARD, "gradcam": peers.GRAD_CAM, "process": [*ENGINES, "grad-cam"]}.get(part, ENGINES)
    return [name for name in args.peers if name in names]


# ---- contestants in steady state ----

class Failure(Exception):
    """What went wrong, in one line. A peer it happens to is left out; for camrun it is the end."""


def environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def last_line(file):
    file.seek(0)
    return (file.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1][:200]


class Peer:
    """A peer that waits, loaded, for its turns."""

    def __init__(self, name, job, folder, stack):
        self.answer_path = os.path.join(folder, f"{name}_{job['batch']}x{job['size']}_{job['layer']}.npy")
        self.errors = stack.enter_context(tempfile.TemporaryFile())
        command = [sys.executable, peers.__file__, "serve", name, json.dumps({**job, "answer": self.answer_path})]
        self.process = stack.enter_context(subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=environment(job["threads"])))
        stack.callback(self.process.kill)
        self.read_line()
        self.answer = np.load(self.answer_path)

    def read_line(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failure(last_line(self.errors))
        return line

    def turn(self, seconds):
        print(seconds, file=self.process.stdin, flush=True)
        return {"ms": statistics.median(json.loads(self.read_line()))}

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6


class Camrun:
    """Starts anew at each turn; its own medians leave loading and planning out."""

    def __init__(self, args, job, folder):
        self.explains = job["part"] == "gradcam"
        self.threads = job["threads"]
        self.env = environment(job["threads"])
        self.command = [args.camrun, "--weights", job["files"] + ".bin", "--tensor", job["input"], "--json", "--timing",
                        "--threads", str(self.threads)]
        if job["layer"]:
            self.command += ["--layer", job["layer"]]
        path = os.path.join(folder, "camrun.npy")
        self.last = self.run(1, "--save-map" if self.explains else "--save-logits", path)
        self.answer = np.load(path)

    def run(self, repeat, *options):
        command = [*self.command, "--repeat", str(repeat), *options]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env, check=False)
        if done.returncode:
            raise Failure(done.stderr.strip())
        report = json.loads(done.stdout)
        if report["threads"] != self.threads:
            raise Failure(f"{command[0]} runs {report['threads']} of {self.threads} threads; the last build, it seems, "
                          "had no OpenMP: make")
        forward, explained = report["images"][0]["forward_ms"], report["images"][0]["maps"][0]
        self.peak = report["peak_memory_bytes"] / 1e6
        whole = forward + explained["backward_ms"] + explained["map_ms"]
        return {"ms": whole if self.explains else forward, "forward_ms": forward, "run_ms": whole}

    def turn(self, seconds):
        self.last = self.run(max(3, round(1e3 * seconds / self.last["run_ms"])))
        return self.last

    def peak_mb(self):
        return self.peak


class Floor:
    """The least time for a forward: bench says what has to be done, and at each turn how fast this machine does it."""

    def __init__(self, args, job, folder):
        self.path = os.path.join(folder, "bench.json")
        self.command = [args.bench, "--threads", str(job["threads"]), "--size", str(job["size"]), "--batch", str(job["batch"]),
                        "--json", self.path]
        (self.least,) = self.run(job["arch"], 1e-3)["networks"]

    def run(self, archs, seconds):
        done = subprocess.run([*self.command, "--archs", archs, "--seconds", str(seconds)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Failure(done.stderr.strip())
        with open(self.path, encoding="utf-8") as file:
            return json.load(file)

    def turn(self, seconds):
        found = self.run("", seconds / 2)  # for each ceiling
        flops, bytes_ = found["peak_flops"], found["read_bytes_per_second"]
        return {"ms": 1e3 * (self.least["least_flops"] / flops + self.least["least_bytes"] / bytes_),
                "gflops": flops / 1e9, "gb": bytes_ / 1e9}


def check(answer, expected, kind, tolerance):
    """Raises Failure where an answer is not camrun's. Maps are stretched to [0,1] first, because torch-autograd does not do
    that once more after it has resized them."""
    answer, expected = answer.reshape(-1).astype(float), expected.reshape(-1).astype(float)
    if answer.shape != expected.shape:
        raise Failure(f"it gives {answer.size} {kind}, camrun {expected.size}")
    if kind == "map pixels":
        answer, expected = ((a - a.min()) / max(np.ptp(a), 1e-9) for a in (answer, expected))
    error = np.abs(answer - expected).max() / np.abs(expected).max()
    if not error <= tolerance:
        raise Failure(f"its {kind} differ from camrun's by {error:.2g}, more than {tolerance:g}")


def step(round_, rounds):
    return f"round {round_} of {rounds}" if round_ else "warm-up"


def summary(turns):
    """Figures over a contestant's rounds."""
    figures = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
    return {**figures, "low_ms": min(turn["ms"] for turn in turns), "high_ms": max(turn["ms"] for turn in turns)}


def run_steady(args, variants, say):
    """(figures by contestant and variant, reasons of those left out)"""
    figures, left_out, ready = {}, {}, []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for variant, work in variants.items():
            kind = "map pixels" if work["part"] == "gradcam" else "logits"
            say(f"checking camrun {variant}")
            camrun = Camrun(args, work, folder)
            ready.append(("camrun", variant, camrun))
            for name in contestants(args, work["part"]):
                say(f"loading {name} {variant}")
                try:
                    peer = Peer(name, work, folder, stack)
                    check(peer.answer, camrun.answer, kind, LOOSE_TOLERANCE if work["layer"] else TOLERANCE)
                    ready.append((name, variant, peer))
                except Failure as why:
                    left_out[name] = str(why)
        ready = [entry for entry in ready if entry[0] not in left_out]
        variant, work = next(iter(variants.items()))
        if os.path.exists(args.bench) and work["part"] in ("forward", "gradcam"):
            say("counting what has to be done")
            ready.append(("floor", variant, Floor(args, work, folder)))
        turns = {entry[:2]: [] for entry in ready}
        for round_ in range(args.rounds + 1):
            for name, variant, contestant in ready:
                say(f"{step(round_, args.rounds)}: {name} {variant}")
                time.sleep(0.05)  # threads of the one before may still be spinning
                turns[name, variant].append(contestant.turn(args.seconds if round_ else args.warm_up))
        for name, variant, contestant in ready:
            figure = summary(turns[name, variant][1:])
            if name != "floor":
                figure["peak_mb"] = contestant.peak_mb()
            figures.setdefault(name, {})[variant] = figure
    return figures, left_out


# ---- whole processes ----

def run_process(command, env):
    """Wall time and peak memory of one process. Raises Failure."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        ms = 1e3 * (time.perf_counter() - start)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failure(last_line(errors))
    return {"ms": ms, "peak_mb": usage.ru_maxrss * 1024 / 1e6}


def run_processes(args, variants, say):
    (work,) = variants.values()
    left_out, turns, commands = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = {kind: os.path.join(folder, f"{kind}.npy") for kind in ("logits", "map pixels")}
        picture = os.path.join(folder, "picture.png")
        for end in ("bin", "pth"):
            commands[f"camrun .{end}"] = [args.camrun, "--arch", work["arch"], "--weights", f"{work['files']}.{end}",
                                          "--threads", str(work["threads"]), "-o", picture, work["photo"]]
        env = environment(work["threads"])
        run_process(commands["camrun .bin"] + ["--save-logits", path["logits"], "--save-map", path["map pixels"]], env)
        expected = {kind: np.load(path[kind]) for kind in path}
        for name in contestants(args, "process"):
            answer = os.path.join(folder, f"{name}.npy")
            command = [sys.executable, peers.__file__, "once", name,
                       json.dumps({**work, "answer": answer, "picture": picture})]
            say(f"checking {name}")
            kind = "map pixels" if name in peers.GRAD_CAM else "logits"
            try:
                run_process(command, env)
                check(np.load(answer), expected[kind], kind, LOOSE_TOLERANCE)
                commands[name] = command
            except Failure as why:
                left_out[name] = str(why)
        for round_ in range(args.rounds + 1):
            for name, command in commands.items():
                say(f"{step(round_, args.rounds)}: {name}")
                # Warm: behind a process of a gigabyte, which has just ended, the first of two runs takes up to twice as long.
                run_process(command, env)
                turns.setdefault(name, []).append(run_process(command, env))
    return {name: {"": summary(rounds[1:])} for name, rounds in turns.items()}, left_out


# ---- the report ----

def fixed(value):
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def names_of(cases_):
    names = dict.fromkeys(name for case in cases_ for name in case["figures"])
    return [name for name in ["camrun", "camrun .bin", "camrun .pth", *PEERS] if name in names]


def get(case, name, variant="", key="ms"):
    return case["figures"].get(name, {}).get(variant, {}).get(key)


def cell(case, name, variant="", key="ms"):
    value = get(case, name, variant, key)
    return "-" if value is None else fixed(value)


def against_best(case, ours="camrun", key="ms"):
    """camrun's figure over the smallest of its peers'."""
    known = [(get(case, name, key=key), name) for name in case["figures"] if name in PEERS]
    if not known or get(case, ours, key=key) is None:
        return "-"
    best, name = min(known)
    return f"{get(case, ours, key=key) / best:.2f}x {name}"


def forward_table(found):
    names = names_of(found)
    return table(["ms", *names, "floor", "camrun / fastest peer", "floor / fastest peer"],
                 [[case["arch"], *(cell(case, name) for name in [*names, "floor"]), against_best(case),
                   against_best(case, "floor")] for case in found])


def gradcam_table(found):
    names = [name for name in names_of(found) if name != "camrun"]
    rows = []
    for case in found:
        forward = get(case, "camrun", "last", "forward_ms")
        for layer in case["figures"]["camrun"]:
            ours = get(case, "camrun", layer)
            ratios = [f"{ours / get(case, name, layer):.3f}x" if get(case, name, layer) else "-" for name in names]
            rows.append([f"{case['arch']}, {layer}", fixed(forward), cell(case, "floor", layer), fixed(ours),
                         f"{ours / forward:.2f}x",
                         *(text for name, ratio in zip(names, ratios) for text in (cell(case, name, layer), ratio))])
    head = ["ms", "camrun forward", "its floor", "camrun Grad-CAM", "camrun / own forward"]
    return table(head + [text for name in names for text in (name, f"camrun / {name}")], rows)


def process_table(found):
    names = names_of(found)
    rows = []
    for case in found:
        for title, key in (("ms", "ms"), (f"MB (weights {case['weights_mb']:.0f})", "peak_mb")):
            rows.append([f"{case['arch']}, {title}", *(cell(case, name, key=key) for name in names),
                         against_best(case, "camrun .bin", key)])
    return table(["", *names, "camrun .bin / best peer"], rows)


def batch_table(found):
    names = names_of(found)
    return table(["ms an image", *(f"{name}, {n}" for name in names for n in (1, 8))],
                 [[case["arch"], *(fixed(get(case, name, str(n)) / n) if get(case, name, str(n)) else "-"
                                   for name in names for n in (1, 8))] for case in found])


def large_table(found):
    rows = []
    for case in found:
        for name in names_of(found):
            small, large = get(case, name, "224"), get(case, name, "1024")
            rows.append([name, fixed(small), fixed(large), f"{large / small:.1f}x",
                         cell(case, name, "224", "peak_mb"), cell(case, name, "1024", "peak_mb")])
    return table(["ResNet34, 1 channel", "224x224, ms", "1024x1024, ms", "ratio", "224x224, MB", "1024x1024, MB"], rows)


TABLES = {
    "forward": ("Forward", forward_table,
                "Batch 1, 224x224, steady state. floor: camrun's operations and fully connected weights at the ceilings measured "
                "in the same rounds."),
    "gradcam": ("Grad-CAM", gradcam_table,
                "One map at the last feature map or at layer1: forward, backward, and the map at input size. "
                "torch-autograd is Grad-CAM written by hand, with gradients of that layer alone."),
    "process": ("Whole process", process_table,
                "From a photograph to the answer and out, files in the page cache; peak resident memory. camrun and "
                "grad-cam write a Grad-CAM picture, the others end with the logits."),
    "batch": ("Batches", batch_table, "Milliseconds an image, alone and eight at a time."),
    "large": ("Large pictures", large_table,
              "A picture of 1024x1024 has 20.9 times the pixels of one of 224x224. Memory is the process's peak."),
}


def threads_text(n):
    return f"{n} thread{'s' if n > 1 else ''}"


def preamble(results):
    machine = results["machine"]
    figures = [figure for case in results["cases"] for found in case["figures"].values() for figure in found.values()]
    spread = [100 * (figure["high_ms"] / figure["low_ms"] - 1) for figure in figures]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {results['date']}. float32 everywhere. "
            f"Medians over {results['rounds']} rounds of {results['seconds']:g} s. Load average at the start: "
            f"{machine['load']:.2f}. Slowest round against fastest: +{statistics.median(spread):.0f} % for the median "
            f"contestant, +{max(spread):.0f} % for the least steady.\n\n{versions}.\n")


def markdown(results):
    text = preamble(results)
    for threads in dict.fromkeys(case["threads"] for case in results["cases"]):
        for part, (title, make, note) in TABLES.items():
            found = [case for case in results["cases"] if (case["part"], case["threads"]) == (part, threads)]
            if not found:
                continue
            text += f"\n### {title}, {threads_text(threads)}\n\n{note}\n\n{make(found)}"
            notes = [f"- {case['arch']}: {name} left out: {why}\n"
                     for case in found for name, why in case["left_out"].items()]
            text += "".join(["\n", *notes] if notes else [])
    return text


def plot(results, path):
    """Times as multiples of camrun's, with milliseconds on the bars."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    threads = max(case["threads"] for case in results["cases"])
    panels = []
    for part, title, variant in (("forward", "Forward", ""), ("gradcam", "Grad-CAM at the last feature map", "last")):
        found = [case for case in results["cases"] if (case["part"], case["threads"]) == (part, threads)]
        if found:
            panels.append((title, variant, found))
    if not panels:
        return
    colors = dict(zip(["camrun", *PEERS], ["#d1495b", "#30638e", "#4f9d69", "#8a6fae", "#c9d2da", "#9fb0bf", "#77899b",
                                           "#e3a857", "#9fb0bf"]))
    figure, axes = plt.subplots(len(panels), 1, figsize=(10, 3.4 * len(panels)), dpi=150, squeeze=False)
    for axis, (title, variant, found) in zip(axes[:, 0], panels):
        names = names_of(found)
        width = 0.84 / len(names)
        for i, name in enumerate(names):
            for at, case in enumerate(found):
                ms = get(case, name, variant)
                if ms is None:
                    continue
                x, ratio = at + (i - (len(names) - 1) / 2) * width, ms / get(case, "camrun", variant)
                axis.bar(x, ratio, 0.92 * width, color=colors[name], label=name if at == 0 else None)
                axis.annotate(fixed(ms), (x, ratio), (0, 2), textcoords="offset points", ha="center", va="bottom",
                              fontsize=6.5)
        axis.axhline(1, color=colors["camrun"], linewidth=0.8)
        axis.set_xticks(range(len(found)), [case["arch"] for case in found])
        axis.tick_params(axis="x", length=0)
        axis.set_ylabel("times camrun's")
        axis.margins(y=0.12)
        axis.set_title(f"{title}, {threads_text(threads)}: less is better; milliseconds on the bars", fontsize=10,
                       loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, -0.1))
    figure.tight_layout()
    figure.savefig(path)


def write_report(results, folder):
    with open(os.path.join(folder, "compare.md"), "w", encoding="utf-8") as file:
        file.write(markdown(results))
    if importlib.util.find_spec("matplotlib"):
        plot(results, os.path.join(folder, "compare.png"))


# ---- the program ----

def progress(title):
    """Says what is being done, on a terminal; and what came of it, anywhere."""
    def say(text, last=False):
        if sys.stderr.isatty():
            print(f"\r\033[K{title}: {text}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last:
            print(f"{title}: {text}", file=sys.stderr, flush=True)
    return say


def describe_machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    system = os.uname()
    return {"cpu": (models or [system.machine])[0], "cores": os.cpu_count(),
            "system": f"{system.sysname} {system.release}", "load": os.getloadavg()[0]}


def find_versions(camrun):
    said = subprocess.run([camrun, "--version"], capture_output=True, text=True, check=True).stdout
    versions = {"camrun": said.split()[1]}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def make_files(args, variants, say):
    """Exports what is not there yet from an earlier run."""
    os.makedirs(args.models, exist_ok=True)
    for work in variants.values():
        if not os.path.exists(work["input"]):
            say("exporting the network")
            done = subprocess.run([sys.executable, peers.__file__, "export", json.dumps(work)], capture_output=True,
                                  text=True, check=False)
            if done.returncode:
                raise Failure(f"cannot export it: {done.stderr.strip().splitlines()[-1]}")


def parse_arguments():
    def choice_of(allowed, kind=str):
        def parse(text):
            values = [kind(item) for item in text.split(",")]
            wrong = [value for value in values if value not in allowed]
            if wrong:
                raise argparse.ArgumentTypeError(f"expected some of {','.join(map(str, allowed))}, found {wrong[0]}")
            return values
        return parse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="DIR", help="where the report goes")
    parser.add_argument("--archs", type=choice_of(ARCHS), default=ARCHS, metavar="LIST", help=",".join(ARCHS))
    parser.add_argument("--parts", type=choice_of(PARTS), default=PARTS, metavar="LIST", help=",".join(PARTS))
    parser.add_argument("--peers", type=choice_of(PEERS), default=PEERS, metavar="LIST", help=",".join(PEERS))
    parser.add_argument("--threads", type=choice_of(range(1, 257), int), default=[2], metavar="LIST",
                        help="numbers of threads, one after the other (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns that count (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1, metavar="S", help="length of a turn (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=1, metavar="S",
                        help="length of the first turn, not counted (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and input (default: %(default)s)")
    parser.add_argument("--camrun", default=os.path.join(HERE, "..", "camrun"), metavar="PROGRAM")
    parser.add_argument("--bench", default=os.path.join(HERE, "..", "build", "bench"), metavar="PROGRAM",
                        help="measures the floor, where it exists: make build/bench")
    parser.add_argument("--photo", default=os.path.join(HERE, "..", "cam", "demo", "shapes.png"), metavar="PICTURE",
                        help="for whole processes (default: the demo's)")
    parser.add_argument("--models", default=os.path.join(HERE, "..", "build", "compare"), metavar="DIR",
                        help="where exported networks are kept; 7 GB for all (default: build/compare)")
    parser.add_argument("--report-only", action="store_true", help="write the report anew from DIR/compare.json")
    args = parser.parse_args()
    args.peers = [name for name in args.peers if importlib.util.find_spec(peers.MODULES[name])]
    if args.report_only:
        return args
    if args.rounds < 1:
        parser.error("--rounds: expected at least 1")
    if not shutil.which(args.camrun):
        parser.error(f"no program at {args.camrun}: make builds it")
    if not importlib.util.find_spec("torchvision"):
        parser.error("the networks come from torchvision, which is not installed: requirements.txt has what is needed")
    if "process" in args.parts and not os.path.exists(args.photo):
        parser.error(f"no picture at {args.photo}: give --photo")
    return args


def main():
    args = parse_arguments()
    path = os.path.join(args.out, "compare.json")
    if args.report_only:
        with open(path, encoding="utf-8") as file:
            write_report(json.load(file), args.out)
        return
    os.makedirs(args.out, exist_ok=True)
    results = {"date": datetime.date.today().isoformat(), "machine": describe_machine(),
               "versions": find_versions(args.camrun), "rounds": args.rounds, "seconds": args.seconds, "cases": []}
    todo = list(cases(args))
    if not todo:
        sys.exit("compare.py: nothing to do: the large part is resnet34's")
    for i, variants in enumerate(todo):
        work = next(iter(variants.values()))
        title = f"[{i + 1}/{len(todo)}] {work['part']} {work['arch']}, {threads_text(work['threads'])}"
        say = progress(title)
        try:
            make_files(args, variants, say)
            figures, left_out = (run_processes if work["part"] == "process" else run_steady)(args, variants, say)
        except Failure as why:
            sys.exit(f"{title}: {why}")
        say(", ".join(f"{name} {fixed(figure['ms'])}{' at ' + variant if variant else ''}"
                      for name, found in figures.items() for variant, figure in found.items())
            + "".join(f"; {name} left out: {why}" for name, why in left_out.items()), last=True)
        results["cases"].append({"part": work["part"], "arch": work["arch"], "threads": work["threads"],
                                 "weights_mb": os.path.getsize(work["files"] + ".bin") / 1e6,
                                 "figures": figures, "left_out": left_out})
        with open(path, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    write_report(results, args.out)


if __name__ == "__main__":
    main()
