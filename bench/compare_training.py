#!/usr/bin/env python3
"""Times steps of a training (forward, backward, an SGD step with momentum), camrun and PyTorch side by side: same weights, same
batch, same number of threads, float32, batchnorm in training mode, dropout off.

    bench/compare_training.py --python /usr/bin/python3 --python ~/venv/bin/python [--arch resnet18 --batch 8 --size 224]

Each --python is an interpreter that has torch and torchvision; each takes part twice, with its tensors as they come and with
channels last. The loss of the first step must be the same for all. Contestants take turns of some seconds, round after round;
the first round only warms up, and a figure is the median over rounds of each round's median. Prints a Markdown table."""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SGD = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}
PARTS = ["step", "forward", "backward", "optimizer"]
TOLERANCE = 1e-3  # of the first loss


# ---- PyTorch, in a process of its own ----

def serve(job):
    """Says its version and its first loss; then trains for as many seconds as each line of standard input says."""
    sys.path.insert(0, os.path.join(ROOT, "scripts"))
    import convert_torchvision as networks
    import numpy as np
    import safetensors_file
    import torch
    torch.set_num_threads(job["threads"])
    tensors, _ = safetensors_file.read(job["weights"])
    state = {name: torch.tensor(array) for name, array in tensors.items()}
    model = networks.model_of_state_dict(job["arch"], state, job["weights"]).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x, labels = torch.from_numpy(np.load(job["input"])), torch.tensor(job["labels"])
    if job["channels_last"]:
        model, x = (thing.to(memory_format=torch.channels_last) for thing in (model, x))
    optimizer = torch.optim.SGD(model.parameters(), **SGD)

    def run():
        begin = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        end = time.perf_counter()
        times = (end - begin, forward - begin, backward - forward, end - backward)
        return loss.item(), dict(zip(PARTS, (1e3 * t for t in times)))

    print(torch.__version__, flush=True)
    print(run()[0], flush=True)
    for line in sys.stdin:
        end, turns = time.monotonic() + float(line), []
        while time.monotonic() < end:
            turns.append(run()[1])
        print(json.dumps(turns), flush=True)


# ---- contestants ----

class Contestant:
    def __init__(self, command, env, stack):
        self.process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                            text=True, env=env))
        stack.callback(self.process.kill)
        self.rounds = []

    def read_line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a contestant ended early: " + " ".join(self.process.args)[:200])
        return line.strip()

    def turn(self, seconds):
        print(seconds, file=self.process.stdin, flush=True)
        turns = json.loads(self.read_line())
        for turn in turns:
            turn["optimizer"] += turn.pop("layout", 0.0)  # camrun's own: the weights as its kernels want them
        self.rounds.append({part: statistics.median(turn[part] for turn in turns) for part in PARTS})

    def figures(self):
        """Without the first round. The last is its peak memory in MB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
        return [statistics.median(round_[part] for round_ in self.rounds[1:]) for part in PARTS] + [peak]


def start_all(args, folder, stack):
    """Contestants by name, camrun first; ends the program where their first losses differ."""
    weights, x = (os.path.join(folder, name) for name in ("weights.bin", "x.npy"))
    subprocess.run([args.python[0], os.path.join(ROOT, "scripts", "convert_torchvision.py"), "--arch", args.arch,
                    "--random", str(args.seed), "-o", weights], check=True)
    subprocess.run([args.python[0], "-c", f"import numpy as np; np.save({x!r}, np.random.default_rng({args.seed}).normal("
                    f"size=({args.batch}, 3, {args.size}, {args.size})).astype(np.float32))"], check=True)
    labels = [37 * i % 1000 for i in range(args.batch)]
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    command = [args.program, weights, x, ",".join(map(str, labels)), "--dropout", "0", "--lr", str(SGD["lr"]),
               "--momentum", str(SGD["momentum"]), "--decay", str(SGD["weight_decay"]), "--steps", "1", "--turns"]
    ready = {"camrun": Contestant(command, env, stack)}
    losses = {"camrun": float(ready["camrun"].read_line())}
    for python in args.python:
        for channels_last in (False, True):
            job = {"arch": args.arch, "threads": args.threads, "weights": weights, "input": x, "labels": labels,
                   "channels_last": channels_last}
            peer = Contestant([python, os.path.abspath(__file__), "serve", json.dumps(job)], env, stack)
            name = f"torch {peer.read_line()}" + " channels last" * channels_last
            ready[name] = peer
            losses[name] = float(peer.read_line())
    for name, loss in losses.items():
        if not abs(loss - losses["camrun"]) <= TOLERANCE * losses["camrun"]:
            sys.exit(f"the first losses differ: {losses}")
    return ready


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", required=True, help="an interpreter that has torch and torchvision")
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each turn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "training"), help="`make build/training`")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        ready = start_all(args, stack.enter_context(tempfile.TemporaryDirectory()), stack)
        for _ in range(args.rounds + 1):
            for contestant in ready.values():
                time.sleep(0.05)  # threads of the one before may still be spinning
                contestant.turn(args.seconds)
        figures = {name: contestant.figures() for name, contestant in ready.items()}
    print(f"{args.arch}, batch {args.batch}, {args.size}x{args.size}, {args.threads} threads\n")
    print("| ms | step | forward | backward | optimizer | peak MB | camrun / it |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name, values in figures.items():
        ratio = "" if name == "camrun" else f"{figures['camrun'][0] / values[0]:.2f}x"
        print(f"| {name} | " + " | ".join(f"{value:.1f}" if value < 100 else f"{value:.0f}" for value in values) + f" | {ratio} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(json.loads(sys.argv[2]))
    else:
        main()
