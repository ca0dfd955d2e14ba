"""camtrain against PyTorch: whole steps of a training give the weights that torch.optim and torchvision's network give, and
what was trained gives the same logits there. Skipped where PyTorch or torchvision is missing."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
transforms = pytest.importorskip("torchvision.transforms")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import convert_torchvision  # noqa: E402
import safetensors_file  # noqa: E402
import to_torchvision  # noqa: E402
from networks import resnet18, write_weights  # noqa: E402
from test_camtrain import CAMRUN, CAMTRAIN, CLASSES, make_set  # noqa: E402

SCRIPT = os.path.join(ROOT, "scripts", "to_torchvision.py")
SIZE, RESIZE, EACH, STEPS = 32, 36, 4, 3


def call(program, folder, *arguments):
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def prepare(picture, channels=3, size=SIZE, resize=RESIZE):
    """torchvision's own evaluation transform; of one channel, mean and deviation are those of the three on average."""
    image = Image.open(picture).convert("RGB" if channels == 3 else "L")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [transforms.Resize(resize), transforms.CenterCrop(size), transforms.ToTensor(),
             transforms.Normalize(mean, std) if channels == 3 else transforms.Normalize([np.mean(mean)], [np.mean(std)])]
    return transforms.Compose(steps)(image)


def load_set(folder, channels):
    pictures, labels = [], []
    for label, name in enumerate(CLASSES):
        for i in range(EACH):
            pictures.append(prepare(os.path.join(folder, name, f"{i}.{'png' if i % 2 else 'ppm'}"), channels))
            labels.append(label)
    return torch.stack(pictures), torch.tensor(labels)


@pytest.fixture(scope="session")
def pets(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("torch") / "pets", EACH)


SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-3}
ADAM = {"lr": 0.002, "weight_decay": 1e-3}


def lead_of_largest(pool, x):
    """How much larger than the others the largest of any window is; windows of zeros, as a ReLU makes, send no gradient."""
    padded = torch.nn.functional.pad(x, [pool.padding] * 4)
    windows = torch.nn.functional.unfold(padded, pool.kernel_size, stride=pool.stride)
    largest, second = windows.unflatten(1, (x.shape[1], pool.kernel_size**2)).topk(2, dim=2).values.unbind(2)
    return (largest - second)[largest > 0].min().item()


def train_in_torch(state, pets, channels, optimizer, numbers, frozen):
    """(weights, losses, margin) of some steps on all pictures, in double precision: what exact arithmetic would give. The
    margin is how near to zero the input of any ReLU came, and to each other the two largest values of any max-pool's window:
    a rounding error of that size turns a gradient on or off, or sends it to another pixel."""
    model = convert_torchvision.create_model("resnet18", len(CLASSES), channels, width=4)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=False)
    model = model.double().train()
    for name in frozen:
        for module in model.get_submodule(name).modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        model.get_submodule(name).requires_grad_(False)
    margins, losses = [], []
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_pre_hook(lambda module, inputs: margins.append(inputs[0].abs().min().item()))
        elif isinstance(module, torch.nn.MaxPool2d):
            module.register_forward_pre_hook(lambda module, inputs: margins.append(lead_of_largest(module, inputs[0])))
    stepper = (torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam)(
        [p for p in model.parameters() if p.requires_grad], **numbers)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, STEPS)
    x, labels = load_set(pets, channels)
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(model(x.double()), labels)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        schedule.step()
        losses.append(loss.item())
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items() if "num_batches" not in name}
    return weights, losses, min(margins)


@pytest.mark.parametrize("optimizer, channels, frozen", [
    ("sgd", 3, ()), ("sgd", 1, ()), ("adam", 3, ()), ("sgd", 3, ("conv1", "bn1", "layer1", "layer2.0.bn1"))])
def test_steps_are_pytorchs(pets, tmp_path, optimizer, channels, frozen):
    """All pictures in one batch, so that their order does not matter: an epoch is a step."""
    numbers = SGD if optimizer == "sgd" else ADAM
    for seed in range(30):
        state = resnet18(len(CLASSES), channels, width=4, seed=seed)
        expected, losses, margin = train_in_torch(state, pets, channels, optimizer, numbers, frozen)
        if margin > 1e-5:
            break
    assert margin > 1e-5
    write_weights(tmp_path / "start.bin", state, arch="resnet18")
    options = [word for key, value in numbers.items() for word in (f"--{key.replace('_', '-')}", value)]
    if frozen:
        options += ["--freeze", ",".join(frozen)]
    call(CAMTRAIN, tmp_path, pets, "--init", "start.bin", "--size", SIZE, "--resize", RESIZE, "--batch", 100, "--val", 0,
         "--epochs", STEPS, "--optimizer", optimizer, "--augment", "none", "--json", "log", *options)
    logged = [json.loads(line)["trained"]["loss"] for line in (tmp_path / "log").read_text().splitlines()[1:]]
    np.testing.assert_allclose(logged, losses, rtol=1e-4)
    found, _ = safetensors_file.read(tmp_path / "model.bin")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        moved = np.abs(array - state[name]).max()
        error = np.abs(found[name] - array) / (moved + 1e-3 * np.abs(array).max())
        # The first steps of Adam are all of one length: where a gradient is as small as an error of rounding is, either may
        # be anything.
        assert np.quantile(error, 0.97 if optimizer == "adam" else 1) < 2e-3, name


@pytest.mark.parametrize("options, channels", [
    (["--arch", "resnet18", "--width", 8], 3), (["--arch", "resnet34", "--channels", 1], 1),
    (["--arch", "alexnet", "--batch", 4, "--dtype", "float16"], 3)])
def test_trained_weights_give_the_same_logits_in_torchvision(pets, tmp_path, monkeypatch, options, channels):
    size = 64
    call(CAMTRAIN, tmp_path, pets, "--size", size, "--batch", 8, "--epochs", 1, "--lr", 0.002, "--val", 0,
         *options)
    picture = os.path.join(pets, "stripes", "1.png")
    call(CAMRUN, tmp_path, "--weights", "model.bin", picture, "--save-logits", "logits.npy")
    logits = np.load(tmp_path / "logits.npy")
    x = prepare(picture, channels, size, resize=256 * size // 224)[None]

    said = call(sys.executable, tmp_path, SCRIPT, "model.bin", "-o", "model.pth")
    assert json.dumps(CLASSES, ensure_ascii=False) in said
    names = {"torch": torch, "torchvision": __import__("torchvision.models"), "convert_torchvision": convert_torchvision}
    monkeypatch.chdir(tmp_path)
    exec(said, names)  # the two lines that the script prints
    model, _ = to_torchvision.load(tmp_path / "model.bin")
    with torch.no_grad():
        for network in (names["model"].eval(), model):
            expected = network(x)[0].numpy()
            assert abs(expected - logits).max() <= 1e-4 * abs(expected).max()
    for name in os.listdir(tmp_path):
        os.remove(tmp_path / name)


def test_the_network_that_ships_gives_the_same_logits_in_torchvision(tmp_path):
    weights, picture = (os.path.join(ROOT, *path) for path in (("weights", "shapes.bin"), ("cam", "demo", "shapes.png")))
    call(CAMRUN, tmp_path, "--weights", weights, picture, "--save-logits", "logits.npy", "-o", "map.png")
    call(sys.executable, tmp_path, SCRIPT, weights, "-o", "shapes.pth")
    model = convert_torchvision.create_model("resnet18", classes=10, in_channels=3, width=16).eval()
    model.load_state_dict(torch.load(tmp_path / "shapes.pth"))
    _, metadata = to_torchvision.load(weights)
    assert (metadata["resize"], metadata["crop"]) == ("160", "160")
    with torch.no_grad():
        expected = model(prepare(picture, size=160, resize=160)[None])[0].numpy()
    assert abs(expected - np.load(tmp_path / "logits.npy")).max() <= 1e-4 * abs(expected).max()


@pytest.mark.parametrize("words, arguments", [
    (["none.bin", "No such file"], ["none.bin"]), (["text.bin", "safetensors"], ["text.bin"]),
    (["plain.bin", "--arch", "resnet18"], ["plain.bin"]), (["alexnet", "features.0"], ["plain.bin", "--arch", "alexnet"]),
    (["out", "expected"], ["plain.bin", "--arch", "resnet18", "-o", "out/none/m.pth"]),
])
def test_messages_of_the_script(tmp_path, words, arguments):
    write_weights(tmp_path / "plain.bin", resnet18(3))
    (tmp_path / "text.bin").write_text("hello, world")
    before = sorted(os.listdir(tmp_path))
    done = subprocess.run([sys.executable, SCRIPT, "-o", "m.pth", *arguments], cwd=tmp_path, capture_output=True)
    message = done.stderr.decode()
    assert done.returncode == 1 and message.count("\n") == 1, message
    assert words[0] in message, message
    assert sorted(os.listdir(tmp_path)) == before
