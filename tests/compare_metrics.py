#!/usr/bin/env python3
"""Compares the figures of camrun evaluate with other projects', live: the same network, pictures and maps go into
pytorch-grad-cam's and torchcam's metrics, and into formulas written with NumPy and SciPy. Prints a Markdown table.

    make && python3 tests/compare_metrics.py [--weights weights/shapes.bin] [--pictures 8]

Maps are those that camrun saves. ROAD is compared without its noise. pytorch-grad-cam's DropInConfidence does not divide by
the score, so its scores go into the formula; torchcam's ClassificationMetric and DeletionInsertionMetric are used as they
are. Needs torch, torchvision, scipy, and grad-cam 1.5; what torchcam 0.5 has is left out without it."""
import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam.metrics.cam_mult_image import CamMultImageConfidenceChange, DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.metrics.perturbation_confidence import (PerturbationConfidenceMetric, RemoveLeastRelevantFirst,
                                                              RemoveMostRelevantFirst)
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from scipy.ndimage import convolve1d
from torchvision.transforms.functional import center_crop, normalize, resize, to_tensor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import to_torchvision  # noqa: E402

try:
    from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric
except ImportError:
    ClassificationMetric = DeletionInsertionMetric = None

PERCENTILES = [20, 40, 60, 80]
STEPS = 20
METHODS = ["gradcam", "layercam", "hirescam"]
LAYER = "layer3"
TOLERANCE = 1e-4


def softmax(z):
    return torch.softmax(z, dim=-1)


class ReadyMaps:
    """What torchcam's metrics take for a CAM extractor: it has its maps already."""

    def __init__(self, model, maps):
        self.model, self.maps = model, maps

    def __call__(self, class_idx=None, scores=None, **_):
        return [self.maps]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return nullcontext()


def blur(x):
    """RISE's: a Gaussian of standard deviation 5 on 11 x 11 pixels, zeros beyond the border."""
    weights = np.exp(-np.arange(-5, 6) ** 2 / 50)
    weights /= weights.sum()
    array = x.numpy().astype(np.float64)
    for axis in (-2, -1):
        array = convolve1d(array, weights, axis=axis, mode="constant")
    return torch.from_numpy(array.astype(np.float32))


def rise(model, x, class_index, order, start, end):
    """Area under the class's probability as the pixels of `start` give way to those of `end`, in this order."""
    scores, n = [], order.size
    for step in range(STEPS + 1):
        image = start.clone().reshape(3, -1)
        image[:, order[:n * step // STEPS]] = end.reshape(3, -1)[:, order[:n * step // STEPS]]
        with torch.no_grad():
            scores.append(softmax(model(image.reshape(x.shape)))[0, class_index].item())
    return (sum(scores) - (scores[0] + scores[-1]) / 2) / STEPS


def expected(model, x, class_index, values):
    """{metric: {project: value}} of one map."""
    targets, maps = [ClassifierOutputSoftmaxTarget(class_index)], values[None]
    call = dict(input_tensor=x, cams=maps, targets=targets, model=model)
    with torch.no_grad():
        score = softmax(model(x))[0, class_index].item()
    masked = CamMultImageConfidenceChange()(return_diff=False, **call)[0]
    found = {"drop": {"pytorch-grad-cam": max(0, score - masked) / (score + 1e-7)},
             "increase": {"pytorch-grad-cam": float(IncreaseInConfidence()(**call)[0])}}
    assert abs(DropInConfidence()(**call)[0] - max(0, score - masked)) < 1e-6
    most, least = ([float(PerturbationConfidenceMetric(kind(p, NoisyLinearImputer(noise=0)))(**call)[0]) for p in PERCENTILES]
                   for kind in (RemoveMostRelevantFirst, RemoveLeastRelevantFirst))
    found["road_most"] = {"pytorch-grad-cam": np.mean(most)}
    found["road_least"] = {"pytorch-grad-cam": np.mean(least)}
    found["road"] = {"pytorch-grad-cam": (np.mean(least) - np.mean(most)) / 2}
    order = np.argsort(-values.ravel(), kind="stable")
    found["insertion"] = {"RISE": rise(model, x, class_index, order, blur(x), x)}
    found["deletion"] = {"RISE": rise(model, x, class_index, order, x, torch.zeros_like(x))}
    if ClassificationMetric:
        ready, first = ReadyMaps(model, torch.from_numpy(maps)), partial(torch.softmax, dim=-1)
        metric = ClassificationMetric(ready, first)
        metric.update(x, class_index)
        found["drop"]["torchcam"] = metric.summary()["avg_drop"]
        found["increase"]["torchcam"] = metric.summary()["conf_increase"]
        for name, baseline in (("deletion", None), ("insertion", blur)):
            metric = DeletionInsertionMetric(ready, first, steps=STEPS, baseline=baseline)
            metric.update(x, class_index)
            found[name]["torchcam"] = getattr(metric, name) / metric.total
    return found


def read_picture(path, metadata):
    image = resize(Image.open(path).convert("RGB"), int(metadata["resize"]))
    image = center_crop(image, int(metadata["crop"]))
    return normalize(to_tensor(image), json.loads(metadata["mean"]), json.loads(metadata["std"]))[None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default=os.path.join(ROOT, "weights", "shapes.bin"))
    parser.add_argument("--pictures", type=int, default=8)
    arguments = parser.parse_args()
    model, metadata = to_torchvision.load(arguments.weights)
    names, errors = json.loads(metadata["classes"]), {}
    with tempfile.TemporaryDirectory() as folder:
        def run(program, *words):
            subprocess.run([os.path.join(ROOT, program), *map(str, words)], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        run("camscenes", "set", "--val", arguments.pictures, "--size", metadata["crop"], "--seed", 99)
        weights = os.path.abspath(arguments.weights)
        run("camrun", "evaluate", "--weights", weights, "--boxes", "set/boxes.csv", "--method", ",".join(METHODS), "--layer",
            LAYER, "--metric", "drop,insertion,deletion,road", "--road-noise", 0, "--csv", "out.csv", "--steps", STEPS)
        with open(os.path.join(folder, "out.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            run("camrun", "--weights", weights, row["file"], "--class", row["class"], "--method", row["method"], "--layer",
                LAYER, "--save-map", "map.npy", "-o", "unused.png")
            x = read_picture(os.path.join(folder, row["file"]), metadata)
            values = np.load(os.path.join(folder, "map.npy"))
            for metric, projects in expected(model, x, names.index(row["class"]), values).items():
                for project, value in projects.items():
                    errors.setdefault((metric, project), []).append(abs(float(row[metric]) - value))
    print(f"{len(rows)} maps of {arguments.pictures} pictures, {', '.join(METHODS)} at {LAYER}\n")
    print("| metric | compared with | largest difference |\n| --- | --- | --: |")
    for (metric, project), differences in errors.items():
        print(f"| {metric} | {project} | {max(differences):.1e} |")
    failed = sum(not max(d) <= TOLERANCE for d in errors.values())
    print(f"\n{len(errors) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
