#!/usr/bin/env python3
"""Draws what make evaluate found: where maps point, and how alike they stay as the network forgets.

    bench/plot_evaluation.py build/evaluate bench/evaluation.png

Reads the CSV files that camrun evaluate wrote. Needs matplotlib."""
import argparse
import collections
import csv
import os

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

NAMES = {"layer2": "layer2", "layer3": "layer3", "layer4": "layer4", "": "no layer"}
COLORS = {"layer2": "#a6cee3", "layer3": "#1f78b4", "layer4": "#08306b", "": "#999999"}


def read(folder, name):
    with open(os.path.join(folder, name + ".csv"), newline="") as file:
        return list(csv.DictReader(file))


def means(rows, columns):
    """{(method, stage of the network): {column: mean}}, in the order of the file."""
    found = collections.OrderedDict()
    for row in rows:
        cells = found.setdefault((row["method"], row["layer"].split(".")[0]), collections.defaultdict(list))
        for column in columns:
            if row[column]:
                cells[column].append(float(row[column]))
    return {key: {c: sum(v) / len(v) for c, v in cells.items()} for key, cells in found.items()}


def all_objects(rows):
    """{(method, stage): share of pictures in which each class's map points at its own object}."""
    hits = collections.defaultdict(lambda: True)
    for row in rows:
        hits[row["method"], row["layer"].split(".")[0], row["file"]] &= float(row["pointing"] or 0) > 0.5
    found = collections.defaultdict(list)
    for (method, layer, _), hit in hits.items():
        found[method, layer].append(hit)
    return {key: sum(v) / len(v) for key, v in found.items()}


def draw_bars(axes, values, title):
    methods = list(dict.fromkeys(method for method, _ in values))
    layers = [layer for layer in COLORS if any(key[1] == layer for key in values)]
    for y, method in enumerate(methods):
        mine = [layer for layer in layers if (method, layer) in values]
        height = 0.8 / len(mine)
        for i, layer in enumerate(mine):
            at = y - 0.4 + (i + 0.5) * height
            axes.barh(at, 100 * values[method, layer], height * 0.92, color=COLORS[layer])
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    axes.set_title(title, fontsize=10)
    return [plt.Rectangle((0, 0), 1, 1, color=COLORS[layer]) for layer in layers], [NAMES[layer] for layer in layers]


def draw_forgetting(axes, rows):
    stages = [name.split(":")[1] for name in rows[0] if name.startswith("similarity:")]
    columns = ["rank_correlation:" + stage for stage in stages]
    lines = {}  # methods with the same figures are one line
    for (method, _), values in means(rows, columns).items():
        lines.setdefault(tuple(round(values[c], 2) for c in columns), []).append(method)
    for i, (values, methods) in enumerate(lines.items()):
        axes.plot([1, *values], marker="o", markersize=3, linestyle="-" if i < 4 else "--", label=", ".join(methods))
    axes.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(stages) + 1), ["trained"] + stages, rotation=60, ha="right", fontsize=8)
    axes.set_title("rank correlation with the trained network's map,\nparameters random from the top down to", fontsize=10)
    axes.legend(fontsize=7, frameon=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("output")
    arguments = parser.parse_args()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 5.2), gridspec_kw={"width_ratios": [1, 1, 1.25]})
    one = means(read(arguments.folder, "one"), ["pointing"])
    handles = draw_bars(left, {key: v.get("pointing", 0) for key, v in one.items()}, "one object: the map points at it")
    draw_bars(middle, all_objects(read(arguments.folder, "two")), "two objects: each class's map points at its own")
    middle.set_yticklabels([])
    middle.legend(*handles, fontsize=8, frameon=False, loc="lower right")
    draw_forgetting(right, read(arguments.folder, "random"))
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    temporary = arguments.output + ".tmp"
    figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    os.replace(temporary, arguments.output)
    print(f"plot written to {arguments.output}")


if __name__ == "__main__":
    main()
