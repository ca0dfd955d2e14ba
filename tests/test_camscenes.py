"""The camscenes program as a user runs it: what it writes, where, and every message it ends with.

Needs numpy and Pillow. CAMSCENES in the environment names another binary."""
import csv
import os
import re
import signal
import subprocess
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAMSCENES = os.path.abspath(os.environ.get("CAMSCENES", os.path.join(ROOT, "camscenes")))
CLASSES = ["arrow", "circle", "crescent", "cross", "flower", "heart", "ring", "square", "star", "triangle"]


@pytest.fixture
def run(tmp_path):
    """Runs camscenes in an empty folder: it must succeed, and say nothing on standard error, which is no terminal."""
    def call(*arguments):
        done = subprocess.run([CAMSCENES, *map(str, arguments)], capture_output=True, cwd=tmp_path, timeout=300)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr
        return done.stdout.decode()
    return call


@pytest.fixture
def refuse(tmp_path):
    """Runs camscenes, which must fail with this status, one line with all these words, and no file written."""
    def call(status, words, *arguments, stdout=subprocess.PIPE):
        before = files_in(tmp_path)
        done = subprocess.run([CAMSCENES, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, cwd=tmp_path,
                              timeout=300)
        message = done.stderr.decode()
        assert done.returncode == status, message
        assert re.fullmatch(r"camscenes: [^\n]+\n", message)
        for word in words:
            assert word in message
        assert len(message) < 520
        assert files_in(tmp_path) == before
    return call


def files_in(folder):
    """Every file under a folder, by its path from there."""
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


def read(folder):
    """{path: bytes} of every file."""
    contents = {}
    for name in files_in(folder):
        with open(os.path.join(folder, name), "rb") as file:
            contents[name] = file.read()
    return contents


def boxes_in(folder):
    with open(os.path.join(folder, "boxes.csv"), newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


def test_help_is_one_screen(run):
    text = run("--help")
    assert run("-h") == text
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    with open(os.path.join(ROOT, "cam", "scenes", "main.c"), encoding="utf-8") as source:
        options = re.findall(r'^    \{"([a-z-]+)", ', source.read(), re.MULTILINE)
    assert len(options) == 11
    for word in [f"--{option}" for option in options] + CLASSES + ["Exit status", "boxes.csv", "ImageFolder"]:
        assert word in text


def test_version(run):
    assert re.fullmatch(r"camscenes \d+\.\d+\.\d+\n", run("--version"))


def test_a_set(run, tmp_path):
    """Folders by split and class, pictures numbered through the split, a row for each object."""
    told = run("shapes", "--train", 25, "--val", 10, "--two", 4, "--three", 2, "--size", 40)
    assert told == "25 train, 10 val, 4 two, 2 three pictures of 40x40 and their boxes written to shapes\n"
    counts = {"train": 25, "val": 10, "two": 4, "three": 2}
    objects = {"train": 1, "val": 1, "two": 2, "three": 3}
    pictures = [f"{split}/{CLASSES[i % 10]}/{i:06d}.png" for split, n in counts.items() for i in range(n)]
    assert files_in(tmp_path / "shapes") == sorted(pictures + ["boxes.csv"])
    rows = boxes_in(tmp_path / "shapes")
    assert list(rows[0]) == ["file", "class", "x0", "y0", "x1", "y1"]
    assert [row["file"] for row in rows] == [name for name in pictures for _ in range(objects[name.split("/")[0]])]
    for row in rows:
        x0, y0, x1, y1 = (int(row[key]) for key in ("x0", "y0", "x1", "y1"))
        assert 0 <= x0 < x1 <= 40 and 0 <= y0 < y1 <= 40 and row["class"] in CLASSES
    for name in pictures:
        with Image.open(tmp_path / "shapes" / name) as picture:
            assert (picture.mode, picture.size, picture.format) == ("RGB", (40, 40), "PNG")
            assert np.asarray(picture).std() > 5
        classes = [row["class"] for row in rows if row["file"] == name]
        assert classes[0] == name.split("/")[1] and len(set(classes)) == len(classes)


def test_fewer_pictures_than_classes(run, tmp_path):
    """No empty folder: ImageFolder refuses it."""
    run("shapes", "--train", 3, "--size", 32)
    assert sorted(os.listdir(tmp_path / "shapes" / "train")) == CLASSES[:3]


def test_the_same_options_give_the_same_files(run, tmp_path):
    options = ["--train", 40, "--two", 12, "--size", 33]
    run("one", *options, "--threads", 1)
    run("several", *options, "--threads", 5)
    assert read(tmp_path / "one") == read(tmp_path / "several")
    run("longer", "--train", 60, "--two", 12, "--size", 33)
    longer = read(tmp_path / "longer")
    for name, content in read(tmp_path / "one").items():
        assert name == "boxes.csv" or longer[name] == content


@pytest.mark.parametrize("option, value, default", [("--seed", 2, 1), ("--difficulty", 0.5, 1), ("--size", 64, 128)])
def test_options_matter(run, tmp_path, option, value, default):
    run("plain", "--train", 10)
    run("default", "--train", 10, option, default)
    run("other", "--train", 10, option, value)
    plain, other = read(tmp_path / "plain"), read(tmp_path / "other")
    assert read(tmp_path / "default") == plain
    assert sorted(plain) == sorted(other)
    assert all(plain[name] != other[name] for name in plain)


def test_gray(run, tmp_path):
    """The same pictures and boxes, without their colours."""
    run("color", "--train", 3, "--size", 40)
    run("gray", "--train", 3, "--size", 40, "--gray")
    assert (tmp_path / "color" / "boxes.csv").read_bytes() == (tmp_path / "gray" / "boxes.csv").read_bytes()
    for name in files_in(tmp_path / "gray"):
        if name.endswith(".png"):
            color, gray = (Image.open(tmp_path / folder / name).convert("RGB") for folder in ("color", "gray"))
            assert np.array_equal(np.asarray(gray), np.asarray(color.convert("L").convert("RGB")))


def test_splits_have_nothing_in_common(run, tmp_path):
    run("shapes", "--train", 10, "--val", 10, "--size", 32)
    pictures = [content for name, content in read(tmp_path / "shapes").items() if name.endswith(".png")]
    assert len(set(pictures)) == 20


def test_default_set(run, tmp_path):
    run("shapes", "--size", 32)
    counts = Counter(name.split("/")[0] for name in files_in(tmp_path / "shapes"))
    assert counts == {"train": 5000, "val": 1000, "two": 200, "boxes.csv": 1}


def test_folders_that_will_do(run, tmp_path):
    (tmp_path / "empty").mkdir()
    run("empty", "--train", 1, "--size", 32)
    run(tmp_path / "slash/", "--train", 1, "--size", 32)
    run("--train", 1, "--size", 32, "--", "--odd name")
    assert files_in(tmp_path / "--odd name") == ["boxes.csv", "train/arrow/000000.png"]


# ---- refusals ----

@pytest.mark.parametrize("words, arguments", [
    (["no folder", "camscenes DIR"], []),
    (["one folder", "'a'", "'b'"], ["a", "b"]),
    (["empty name"], [""]),
    (["--sizes", "--size?"], ["a", "--sizes", "64"]),
    (["--trian", "--train?"], ["a", "--trian=64"]),
    (["--frobnicate", "--help"], ["a", "--frobnicate"]),
    (["--train needs a value"], ["a", "--train"]),
    (["--train", "1 to 1000000", "'0'"], ["a", "--train", "0"]),
    (["--train", "'1000001'"], ["a", "--train", "1000001"]),
    (["--two", "'many'"], ["a", "--two", "many"]),
    (["--three", "'-1'"], ["a", "--three", "-1"]),
    (["--size", "32 to 2048", "'31'"], ["a", "--size", "31"]),
    (["--size", "'4096'"], ["a", "--size", "4096"]),
    (["--size", "'64x64'"], ["a", "--size", "64x64"]),
    (["--seed", "0 to 2147483647", "'-3'"], ["a", "--seed", "-3"]),
    (["--seed", "'99999999999999999999'"], ["a", "--seed", "99999999999999999999"]),
    (["--difficulty", "from 0 to 1", "'1.5'"], ["a", "--difficulty", "1.5"]),
    (["--difficulty", "'nan'"], ["a", "--difficulty", "nan"]),
    (["--threads", "'two'"], ["a", "--threads", "two"]),
    (["--help takes no value"], ["--help=all"]),
])
def test_usage_errors(refuse, words, arguments):
    refuse(2, words, *arguments)


@pytest.mark.parametrize("words, folder", [
    (["full", "new or empty", "'thing'"], "full"),
    (["full/thing", "Not a directory"], "full/thing"),
    (["no/such", "No such file"], "no/such"),
    (["at most"], "a" * 5000),
    (["a?b", "No such file"], "a\nb/c"),
])
def test_folder_errors(refuse, tmp_path, words, folder):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").touch()
    refuse(1, words, folder, "--train", 1, "--size", 32)


def test_full_disk_for_the_report(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CAMSCENES, "--help"], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, check=False)
    assert done.returncode == 1 and b"standard output" in done.stderr


def test_an_interrupt_leaves_whole_pictures_and_no_boxes(tmp_path):
    program = subprocess.Popen([CAMSCENES, "set", "--train", "100000", "--size", "64"], cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not files_in(tmp_path) and program.poll() is None:
        time.sleep(0.001)
    program.send_signal(signal.SIGINT)
    _, message = program.communicate(timeout=60)
    assert (program.returncode, message) == (-signal.SIGINT, b"")
    written = files_in(tmp_path / "set")
    assert 0 < len(written) < 100000
    for name in written:
        assert name.endswith(".png")
        with Image.open(tmp_path / "set" / name) as picture:
            picture.load()
