"""camrun evaluate as a user runs it: its tables, CSV and JSON, and every message it ends with. What the figures must be is
worked out here from the maps that camrun saves; tests/compare_metrics.py compares them with other projects'."""
import csv
import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from networks import resnet18, write_weights

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAMRUN = os.path.abspath(os.environ.get("CAMRUN", os.path.join(ROOT, "camrun")))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
NAMES = ["cat", "tabby, tabby cat", "dog"]
SIDE = 48
BOXES = [("pics/a.png", "cat", 2, 3, 30, 40), ("pics/a.png", "dog", 30, 10, 47, 47), ("pics/a.png", "cat", 40, 0, 48, 8),
         ("pics/b c.png", '"tabby, tabby cat"', 0, 0, 24, 24), ("tall.png", 2, 5, 4, 20, 25)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network that crops SIDE x SIDE, three pictures, and boxes: one picture is taller, and its box is cut off."""
    path = tmp_path_factory.mktemp("evaluate")
    write_weights(path / "net.bin", resnet18(3), arch="resnet18", classes=json.dumps(NAMES), resize=str(SIDE), crop=str(SIDE))
    rng = np.random.default_rng(3)
    (path / "pics").mkdir()
    for name, height in [("pics/a.png", SIDE), ("pics/b c.png", SIDE), ("tall.png", 2 * SIDE)]:
        pixels = np.kron(rng.integers(0, 256, (height // 8, SIDE // 8, 3)), np.ones((8, 8, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(path / name)
    write_boxes(path / "boxes.csv", BOXES[:4])
    write_boxes(path / "all.csv", BOXES)
    return path


def write_boxes(path, rows):
    path.write_text("file,class,x0,y0,x1,y1\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def call(folder, *arguments):
    return subprocess.run([CAMRUN, *map(str, arguments)], capture_output=True, cwd=folder, timeout=300, text=True)


def evaluate(folder, *arguments):
    done = call(folder, "evaluate", "--weights", "net.bin", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_figures(folder):
    """Pointing and energy from the maps that camrun saves; means of the CSV are the JSON's and the table's."""
    methods = ["gradcam", "layercam", "random", "centre"]
    report = json.loads(evaluate(folder, "--boxes", "boxes.csv", "--method", ",".join(methods), "--layer", "layer3,layer4",
                                 "--csv", "out.csv", "--json", "--steps", 3))
    rows = read_csv(folder / "out.csv")
    assert len(rows) == 3 * (2 + 2 + 2 + 1)  # centre is not about a layer
    assert [(r["file"], r["class"]) for r in rows[::7]] == [("pics/a.png", "cat"), ("pics/a.png", "dog"),
                                                            ("pics/b c.png", "tabby, tabby cat")]
    assert (report["pictures"], report["explained"], report["outside"]) == (2, 3, 0)
    for row in rows:
        if row["method"] in ("random", "centre"):
            continue
        done = call(folder, "--weights", "net.bin", row["file"], "--class", row["class"], "--method", row["method"],
                    "--layer", row["layer"], "--save-map", "map.npy", "--save-logits", "logits.npy", "-o", "unused.png")
        assert done.returncode == 0, done.stderr
        values, logits = np.load(folder / "map.npy").astype(float), np.load(folder / "logits.npy").astype(float)
        inside = np.zeros((SIDE, SIDE), bool)
        for name, class_name, x0, y0, x1, y1 in BOXES:
            if (name, str(class_name).strip('"')) == (row["file"], row["class"]):
                inside[y0:y1, x0:x1] = True
        p = np.exp(logits - logits.max())
        assert float(row["probability"]) == pytest.approx(p[NAMES.index(row["class"])] / p.sum(), abs=1e-5)
        assert row["predicted"] == NAMES[logits.argmax()]
        highest = values == values.max()
        expected = inside[highest].mean() if values.max() > 0 else 0
        assert float(row["pointing"]) == pytest.approx(expected, abs=1e-5)
        assert float(row["energy"]) == pytest.approx(values[inside].sum() / values.sum() if values.any() else 0, abs=1e-5)
        assert all(0 <= float(row[name]) <= 1 for name in ("drop", "increase", "insertion", "deletion"))
        assert float(row["road"]) == pytest.approx((float(row["road_least"]) - float(row["road_most"])) / 2, abs=1e-5)
    table = evaluate(folder, "--boxes", "boxes.csv", "--method", ",".join(methods), "--layer", "layer3,layer4",
                     "--steps", 3).splitlines()
    lines = [line for line in table if line.startswith("|")][2:]
    assert len(lines) == len(report["means"]) == 7
    for line, mean in zip(lines, report["means"]):
        same = [r for r in rows if (r["method"], r["layer"] or None) == (mean["method"], mean["layer"])]
        for name in ("pointing", "energy", "drop", "increase", "insertion", "deletion", "road_most", "road"):
            assert mean[name] == pytest.approx(np.mean([float(r[name]) for r in same]), abs=1e-5)
        both = [float(r["pointing"]) > 0.5 for r in same if r["file"] == "pics/a.png"]
        assert mean["all_objects"] == all(both)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:2] == [mean["method"], mean["layer"] or ""]
        assert cells[2] == f"{100 * mean['pointing']:.1f} %" and cells[-1] == f"{mean['road']:.3f}"


def test_same_bits(folder):
    """For any number of threads, any other pictures in the batch, and again."""
    arguments = ["--boxes", "all.csv", "--method", "gradcam,cam,fullgrad,random",
                 "--metric", "pointing,drop,insertion,road,randomization", "--steps", 4]
    for i, threads in enumerate((1, 3)):
        evaluate(folder, *arguments, "--threads", threads, "--csv", f"{i}.csv")
    assert (folder / "0.csv").read_bytes() == (folder / "1.csv").read_bytes()
    evaluate(folder, *arguments, "--csv", "one.csv", "pics/a.png")
    one, all_rows = read_csv(folder / "one.csv"), read_csv(folder / "0.csv")
    assert one == [row for row in all_rows if row["file"] == "pics/a.png"]
    evaluate(folder, *arguments, "--csv", "seed.csv", "--seed", 2)
    assert (folder / "seed.csv").read_bytes() != (folder / "0.csv").read_bytes()


def test_randomization(folder):
    evaluate(folder, "--boxes", "boxes.csv", "--method", "gradcam,eigencam,random", "--metric", "randomization",
             "--layer", "layer2",
             "--csv", "random.csv")
    stages = ["fc", "layer4.1", "layer4.0", "layer3.1", "layer3.0", "layer2.1", "layer2.0", "layer1.1", "layer1.0", "conv1"]
    for row in read_csv(folder / "random.csv"):
        assert list(row)[6:] == ["rank_correlation:" + s for s in stages] + ["similarity:" + s for s in stages]
        values = list(row.values())[6:]
        if row["method"] == "random":
            assert not any(values)
        elif row["method"] == "eigencam":  # which never looks at the last layer
            assert float(row["rank_correlation:fc"]) == float(row["similarity:fc"]) == 1
            assert float(row["similarity:conv1"]) < 0.99
        else:
            assert all(-1 <= float(v) <= 1 for v in values) and float(row["similarity:fc"]) < 0.999


def test_outside_of_the_crop(folder):
    """The picture is SIDE x 2 SIDE and its middle is seen: the box, in the upper part, is not."""
    report = json.loads(evaluate(folder, "--boxes", "all.csv", "--metric", "pointing,energy", "--csv", "cut.csv", "--json",
                                 "tall.png", "pics"))
    rows = read_csv(folder / "cut.csv")
    write_boxes(folder / "cut_boxes.csv", [("tall.png", "dog", 5, 4, 20, 23), ("tall.png", "cat", 5, 4, 20, 25)])
    text = evaluate(folder, "--boxes", "cut_boxes.csv", "--metric", "pointing", "--csv", "cut2.csv")
    assert "1 object lies outside of what the network sees" in text
    assert [r["pointing"] == "" for r in read_csv(folder / "cut2.csv")] == [False] * 3 + [True] * 3
    assert report["outside"] == 0 and all(r["pointing"] for r in rows)


def test_without_boxes(folder):
    text = evaluate(folder, "--class", "top1,cat", "--metric", "drop", "--csv", "top.csv", "pics")
    rows = read_csv(folder / "top.csv")
    assert len(rows) == 2 * 2 * 3 and "pointing" not in text and "2 pictures" in text
    assert all(r["class"] == r["predicted"] for r in rows[:3])
    centre = [r for r in rows if r["method"] == "centre"]
    assert all(0 <= float(r["drop"]) <= 1 and r["increase"] in "01" for r in centre)


BAD = [
    (["pics"], 2, ["no network given", "--weights"]),
    (["--weights", "net.bin"], 2, ["no picture given", "--boxes"]),
    (["--weights", "net.bin", "pics", "--metric", "pointing"], 2, ["pointing and energy", "--boxes"]),
    (["--weights", "net.bin", "pics", "--metric", "dorp"], 2, ["--metric", "no metric 'dorp'", "insertion"]),
    (["--weights", "net.bin", "pics", "--metric", "drop,,road"], 2, ["a metric is missing"]),
    (["--weights", "net.bin", "pics", "--method", "gradcan"], 2, ["unknown method 'gradcan'"]),
    (["--weights", "net.bin", "pics", "--method", "random,random"], 2, ["random", "named twice"]),
    (["--weights", "net.bin", "--boxes", "boxes.csv", "--class", "cat"], 2, ["--class has no effect with --boxes"]),
    (["--weights", "net.bin", "pics", "--tolerance", "3"], 2, ["--tolerance has no effect"]),
    (["--weights", "net.bin", "pics", "--method", "fullgrad,random", "--layer", "layer3"], 2, ["--layer has no effect"]),
    (["--weights", "net.bin", "pics", "--metric", "drop", "--steps", "3"], 2, ["--steps has no effect"]),
    (["--weights", "net.bin", "--boxes", "boxes.csv", "--csv", "boxes.csv"], 2, ["--csv and --boxes name the same file"]),
    (["--weights", "net.bin", "--boxes", "gone.csv"], 1, ["gone.csv"]),
    (["--weights", "net.bin", "--boxes", "net.bin"], 1, ["net.bin", "boxes"]),
    (["--weights", "net.bin", "--boxes", "bad.csv"], 1, ["bad.csv:3", "x0 < x1"]),
    (["--weights", "net.bin", "--boxes", "far.csv"], 1, ["far.csv:2", "lies outside of pics/a.png", "48x48"]),
    (["--weights", "net.bin", "--boxes", "missing.csv"], 1, ["nowhere.png"]),
    (["--weights", "net.bin", "--boxes", "boxes.csv", "tall.png"], 1, ["tall.png", "no box for this picture", "boxes.csv"]),
    (["--weights", "net.bin", "pics", "--layer", "fc"], 1, ["layer fc", "no rows and columns"]),
    (["--weights", "net.bin", "pics", "--layer", "layer4,layer4.1"], 1, ["layer4.1", "named twice"]),
    (["--weights", "net.bin", "pics", "--method", "cam", "--layer", "layer2"], 1, ["cam", "last feature map"]),
    (["--weights", "net.bin", "pics", "--metric", "drop", "--csv", "no/such/folder.csv"], 1, ["no/such/folder.csv"]),
]


@pytest.mark.parametrize("arguments, status, words", BAD)
def test_messages(folder, arguments, status, words):
    write_boxes(folder / "bad.csv", [BOXES[0], ("pics/a.png", "cat", 5, 5, 5, 9)])
    write_boxes(folder / "far.csv", [("pics/a.png", "cat", 48, 0, 60, 9)])
    write_boxes(folder / "missing.csv", [("pics/nowhere.png", "cat", 1, 0, 6, 9)])
    before = sorted(p.name for p in folder.iterdir())
    done = call(folder, "evaluate", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("camrun evaluate: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert sorted(p.name for p in folder.iterdir()) == before


def test_nan(folder):
    """A network that answers NaN ends the run, and nothing is written."""
    state = resnet18(3)
    state["fc.bias"] = np.full_like(state["fc.bias"], np.nan)
    write_weights(folder / "nan.bin", state, arch="resnet18", classes=json.dumps(NAMES), resize=str(SIDE), crop=str(SIDE))
    done = call(folder, "evaluate", "--weights", "nan.bin", "--metric", "drop", "--csv", "nan.csv", "pics")
    assert done.returncode == 1 and "fc.bias" in done.stderr and not (folder / "nan.csv").exists()


def test_help(folder):
    done = call(folder, "evaluate", "--help")
    assert done.returncode == 0 and all(len(line) <= 100 for line in done.stdout.splitlines())
