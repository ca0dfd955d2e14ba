"""What ships: the network weights/shapes.bin, the demo picture that it explains, and the training that made it.

Needs numpy and Pillow. CAMRUN and CAMSCENES in the environment name other binaries."""
import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import safetensors_file  # noqa: E402

CAMRUN, CAMSCENES = (os.path.abspath(os.environ.get(name.upper(), os.path.join(ROOT, name)))
                     for name in ("camrun", "camscenes"))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
MODEL = os.path.join(ROOT, "weights", "shapes.bin")
PICTURE = os.path.join(ROOT, "cam", "demo", "shapes.png")
PICTURE_IS = {"seed": 1, "number": 78, "size": 320}  # of camscenes' split "two"
OTHER_SEED = 20261121  # no picture of the training's


def run(program, folder, *arguments, **environment):
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, env={**os.environ, **environment})
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    return done.stdout.decode()


def boxes_in(folder):
    with open(os.path.join(folder, "boxes.csv"), newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


def points_at(map_, row, size):
    """Whether the map's maximum lies in the box, which is on a picture with sides of this size."""
    y, x = (np.array(np.unravel_index(map_.argmax(), map_.shape)) + 0.5) * size / len(map_)
    x0, y0, x1, y1 = (int(row[key]) for key in ("x0", "y0", "x1", "y1"))
    return x0 <= x < x1 and y0 <= y < y1


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held_out")
    run(CAMSCENES, folder, "set", "--val", 200, "--seed", OTHER_SEED, "--size", 160)
    return folder / "set"


def test_accuracy_and_pointing(held_out, tmp_path):
    correct = points = 0
    rows = boxes_in(held_out)
    for name in sorted({row["class"] for row in rows}):
        its = [row for row in rows if row["class"] == name]
        report = run(CAMRUN, tmp_path, "--weights", MODEL, "--class", name, "--json", "--save-map", "maps.npy", "-o", tmp_path,
                     *(os.path.join(held_out, row["file"]) for row in its))
        correct += sum(image["top"][0]["name"] == name for image in json.loads(report)["images"])
        points += sum(points_at(map_, row, 160) for map_, row in zip(np.load(tmp_path / "maps.npy"), its))
    assert correct >= 0.97 * len(rows)
    assert points >= 0.9 * len(rows)


def test_demo_picture_and_its_two_answers(tmp_path):
    seed, number, size = PICTURE_IS.values()
    run(CAMSCENES, tmp_path, "set", "--two", number + 1, "--seed", seed, "--size", size)
    rows = [row for row in boxes_in(tmp_path / "set") if int(row["file"][-10:-4]) == number]
    with Image.open(tmp_path / "set" / rows[0]["file"]) as drawn, Image.open(PICTURE) as shipped:
        assert (np.asarray(drawn) == np.asarray(shipped)).all()
    report = json.loads(run(CAMRUN, tmp_path, "--weights", MODEL, PICTURE, "--json", "--save-map", "maps.npy", "--class",
                            ",".join(row["class"] for row in rows)))
    assert {top["name"] for top in report["images"][0]["top"][:2]} == {row["class"] for row in rows}
    for map_, row in zip(np.load(tmp_path / "maps.npy"), rows):
        assert points_at(map_, row, size), row


def test_training_gives_the_same_bits_for_any_number_of_threads(tmp_path):
    """The recipe of `make train-demo`, for a few steps."""
    written = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        run("sh", tmp_path, os.path.join(ROOT, "scripts", "train_demo.sh"), folder, 96, 2, OMP_NUM_THREADS=str(threads))
        written.append((folder / "shapes.bin").read_bytes())
    assert written[0] == written[1]
    tensors, metadata = safetensors_file.read(folder / "shapes.bin")
    shipped, its_metadata = safetensors_file.read(MODEL)
    assert metadata == its_metadata
    assert {name: (a.dtype, a.shape) for name, a in tensors.items()} == \
        {name: (a.dtype, a.shape) for name, a in shipped.items()}
