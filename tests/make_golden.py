#!/usr/bin/env python3
"""Writes tests/golden/, what torchvision's networks answer with the weights and inputs of synthetic.py.

    /usr/bin/python3 tests/make_golden.py [ARCH ...]

One file for each network, in the container of camrun's own weights files so that its reader reads them. It holds two
cases, "square" (one picture) and "wide" (three that are wider than high), each of them, C, as:
    C.shape           the input's: N, C, H, W. Its values are synthetic.fill's for the name C, scale 1.7
    C.classes         (2,N): two explained classes for each picture, that of the largest logit and another
    C.logits          (N,1000)
    C.METHOD.LAYER    (2,N,samples): raw signed maps of both classes, of larger ones every step-th value (sample_step)
The weights are synthetic.parameter's, but for what margins.py has changed for these inputs:
    PARAMETER         a bias
    PARAMETER.shift   (OC): added in float32 to all weights of each filter of a convolution
To tell a wrong formula from a wrong network there is
    weights           (parameters,4): the last four values of each parameter as the formula gave it, in state dict
                      order
Computed in float64. How far a run in float32 is from it is printed: about 2e-6 of the largest value.
"""
import os
import sys

import numpy as np
import torch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import convert_torchvision as networks  # noqa: E402
import margins  # noqa: E402
import safetensors_file  # noqa: E402
import synthetic  # noqa: E402
import torch_cam  # noqa: E402

CASES = {"square": (1, 3, 224, 224), "wide": (3, 3, 72, 104)}
SAMPLES = 600  # of a map, about


def sample_step(count):
    """Odd, so that the samples do not all lie in a few of the map's columns. test_golden.c has the same."""
    return 1 if count <= SAMPLES else count // SAMPLES | 1


def results(arch, model, x):
    """A case's arrays."""
    run = torch_cam.Run(model, x, torch_cam.LAYERS[arch])
    argmax = run.logits.argmax(1)
    classes = torch.stack([argmax, (argmax + 500) % run.logits.shape[1]])
    maps = [run.raw_maps(one) for one in classes]
    if arch.startswith("resnet"):
        for one, found in zip(classes, maps):
            found["cam", "layer4"] = run.cam("layer4", one)
    arrays = {"classes": classes.numpy(), "logits": run.logits.detach().numpy()}
    for method, layer in maps[0]:
        both = torch.stack([found[method, layer] for found in maps]).flatten(2)
        arrays[f"{method}.{layer}"] = both[..., ::sample_step(both.shape[2])].numpy()
    return arrays


def difference(arrays, others):
    """The largest of all arrays' relative errors."""
    return max(np.abs(arrays[name] - others[name]).max() / np.abs(arrays[name]).max() for name in arrays)


def golden(arch):
    model = networks.create_model(arch)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not networks.is_counter(name)}
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(synthetic.parameter(name, tuple(tensor.shape))))
    inputs = {case: torch.from_numpy(synthetic.fill(shape, case, 1.7)) for case, shape in CASES.items()}
    formula = {name: tensor.clone() for name, tensor in tensors.items()}
    relu_gap, pool_gap, shifts = margins.widen(model, list(inputs.values()))
    print(f"{arch}: nothing nearer to a kink than {relu_gap:.1e} (ReLU), {pool_gap:.1e} (max-pool)", flush=True)

    file = {name: tensor.numpy().copy() for name, tensor in tensors.items()
            if tensor.ndim == 1 and not torch.equal(tensor, formula[name])}
    file.update({f"{name}.weight.shift": shift.numpy() for name, shift in shifts.items()})
    file["weights"] = torch.stack([tensor.flatten()[-4:] for tensor in formula.values()]).numpy()
    for case, shape in CASES.items():
        exact = results(arch, model.double(), inputs[case].double())
        error = difference(exact, results(arch, model.float(), inputs[case]))
        print(f"{arch} {case}: largest logit {exact['logits'].max():.3g}, float32 differs by {error:.1e} at most",
              flush=True)
        file[f"{case}.shape"] = np.array(shape, np.int64)
        for name, array in exact.items():
            file[f"{case}.{name}"] = array if array.dtype == np.int64 else array.astype(np.float32)
    safetensors_file.write(os.path.join(ROOT, "tests", "golden", arch + ".bin"), file, {"arch": arch})


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.makedirs(os.path.join(ROOT, "tests", "golden"), exist_ok=True)
    for network in sys.argv[1:] or torch_cam.LAYERS:
        golden(network)
