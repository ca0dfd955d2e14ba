#!/usr/bin/env python3
"""Compares training with PyTorch, live.

    /usr/bin/python3 tests/compare_training.py [--quick]

Gradients: for each network, in training and in evaluation mode, the gradient of the cross-entropy of a batch of two with
respect to every parameter, against torchvision's model in float64. The weights are random, moved a little so that no
value lies at a kink of a ReLU or max-pool (margins.py says why): in training mode too, where a value depends on the whole
batch, a bias behind a batch normalisation moves its channel as one. Each residual block's last gamma is halved: batch
normalisations in training mode make rounding errors grow from block to block, so that PyTorch's own float32 gradients of
ResNet50 would stray from float64's by 1e-4. Dropout is off (p = 0): masks are the program's own; tests/test_train.c compares
dropout with its formula.

Steps: ten of SGD with momentum, Nesterov's form and weight decay, on a quarter-width ResNet18 in training mode: the
losses, and the weights and running statistics behind them. No value lies at a kink before the first step, but some do
later, as in any training: for some seeds they make PyTorch's own float32 losses differ from float64's by 1e-4 of the first.

bench/training.c drives the engine. Needs torch and torchvision."""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import convert_torchvision as networks  # noqa: E402
import margins  # noqa: E402
import safetensors_file  # noqa: E402

ARCHS = ["alexnet", "vgg19", "resnet18", "resnet34", "resnet50"]
TOLERANCE = 1e-4  # of a gradient's L2 norm; of the first loss
WEIGHT_TOLERANCE = 1e-3  # of the L2 norm, behind ten steps
SHAPE, QUICK_SHAPE = (2, 3, 160, 192), (2, 3, 96, 112)
LABELS = [283, 7]
SGD = {"lr": 0.003, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}


def random_model(arch, seed, **sizes):
    model = networks.create_model(arch, **sizes)
    networks.randomize(model, seed)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.ReLU):
            module.inplace = False
        elif isinstance(module, (BasicBlock, Bottleneck)):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            last.weight.data *= 0.5
    return model


def save_input(folder, shape, seed):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    path = os.path.join(folder, "x.npy")
    np.save(path, x)
    return path, torch.from_numpy(x)


def run_engine(program, weights, x_path, labels, *options):
    """The losses it prints."""
    command = [program, weights, x_path, ",".join(map(str, labels)), "--dropout", "0", *map(str, options)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()]


def relative_error(found, expected):
    """L2, infinite where shapes differ."""
    if found.shape != tuple(expected.shape):
        return float("inf")
    expected = expected.numpy()
    return float(np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected))


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, title, errors, tolerance=TOLERANCE):
        """errors: by name."""
        bad = [name for name, error in errors.items() if not error <= tolerance]
        self.passed += len(errors) - len(bad)
        self.failed += len(bad)
        worst = max(errors, key=lambda name: float("inf") if errors[name] != errors[name] else errors[name])
        verdict = f"  FAILED: {', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}" if bad else ""
        print(f"{title:34} {len(errors):4} compared, worst {errors[worst]:.1e} ({worst}){verdict}", flush=True)


def compare_gradients(report, program, arch, train, shape, seed, folder):
    x_path, x = save_input(folder, shape, seed)
    model = random_model(arch, seed).train(train)
    relu_gap, pool_gap, _ = margins.widen(model, [x])
    weights = os.path.join(folder, "weights.bin")
    networks.save(weights, model, arch, {})

    reference = model.double()
    loss = functional.cross_entropy(reference(x.double()), torch.tensor(LABELS))
    loss.backward()

    gradients = os.path.join(folder, "gradients.bin")
    found_loss, = run_engine(program, weights, x_path, LABELS, "--gradients", gradients, *([] if train else ["--eval"]))
    found, _ = safetensors_file.read(gradients)
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    assert found.keys() == expected.keys()
    errors = {name: relative_error(found[name], gradient) for name, gradient in expected.items()}
    errors["loss"] = abs(found_loss - loss.item()) / loss.item()
    gaps = f"{relu_gap:.0e} (ReLU), {pool_gap:.0e} (max-pool)"
    report.check(f"{arch:9} {'training' if train else 'evaluation'}", errors)
    print(f"{'':34} nothing nearer to a kink than {gaps}")


def compare_steps(report, program, seed, folder, steps=10):
    labels = list(range(8))
    x_path, x = save_input(folder, (8, 3, 64, 80), seed)
    model = random_model("resnet18", seed, width=16, classes=10).train()
    margins.widen(model, [x])
    weights, after = os.path.join(folder, "weights.bin"), os.path.join(folder, "after.bin")
    networks.save(weights, model, "resnet18", {})

    reference, losses = model.double(), []
    optimizer = torch.optim.SGD(reference.parameters(), **SGD)
    for _ in range(steps):
        loss = functional.cross_entropy(reference(x.double()), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    found_losses = run_engine(program, weights, x_path, labels, "--steps", steps, "--save", after, "--lr", SGD["lr"],
                              "--momentum", SGD["momentum"], "--decay", SGD["weight_decay"], "--nesterov")
    print("losses: " + " ".join(f"{loss:.4f}" for loss in losses))
    report.check("resnet18 of width 16, ten losses",
                 {f"step {i}": abs(a - b) / losses[0] for i, (a, b) in enumerate(zip(found_losses, losses, strict=True))})
    found, _ = safetensors_file.read(after)
    state = {name: value for name, value in reference.state_dict().items() if not networks.is_counter(name)}
    assert found.keys() == state.keys()
    report.check("weights and statistics behind them",
                 {name: relative_error(found[name], value) for name, value in state.items()}, WEIGHT_TOLERANCE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=ARCHS, help="default: all five")
    parser.add_argument("--seed", type=int, default=1, help="of weights and inputs (default: %(default)s)")
    parser.add_argument("--program", help="bench/training.c's (default: made now)")
    parser.add_argument("--quick", action="store_true", help="gradients of one network, with smaller pictures")
    args = parser.parse_args()
    program = args.program
    if not program:
        subprocess.run(["make", "-s", "-C", ROOT, "build/training"], check=True, stdout=subprocess.DEVNULL)
        program = os.path.join(ROOT, "build", "training")

    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        compare_steps(report, program, args.seed, folder)
        for arch in args.arch or (["resnet18"] if args.quick else ARCHS):
            for train in (True, False):
                compare_gradients(report, program, arch, train, QUICK_SHAPE if args.quick else SHAPE, args.seed, folder)
    print(f"{report.passed} passed, {report.failed} failed")
    return report.failed > 0


if __name__ == "__main__":
    sys.exit(main())
