#!/usr/bin/env python3
"""The programs compare.py measures camrun against, each run in a process of its own so that none disturbs another.

    peers.py export 'JOB'       writes the network's files: .bin, .pth, .onnx and ncnn's
    peers.py serve PEER 'JOB'   loads once, saves its answer for checking, then runs for as many seconds as each line of
                                standard input says and answers with the times in milliseconds
    peers.py once PEER 'JOB'    from a photograph to the answer and out, as a user's own short program would

JOB is JSON; compare.py's job() tells what is in it. A peer is a function of a job: it loads a network and returns a
function from an input (N,C,H,W) to logits (N,classes), or for Grad-CAM to maps (N,H,W). Every peer computes in float32
on job["threads"] threads. Imports are inside the functions: what a peer does not need does not count for it.
"""
import json
import os
import shutil
import subprocess
import sys
import time
import warnings

import numpy as np


# ---- inference engines ----

def onnxruntime(job):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(job["shape_files"] + ".onnx", options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def openvino(job):
    import openvino as ov
    compiled = ov.Core().compile_model(job["shape_files"] + ".onnx", "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": job["threads"]})
    request = compiled.create_infer_request()
    return lambda x: request.infer([x], share_inputs=True, share_outputs=True)[0]


def ncnn(job):
    import ncnn as engine
    net = engine.Net()
    net.opt.num_threads = job["threads"]
    for name in dir(net.opt):
        if "fp16" in name or "bf16" in name or "int8" in name:
            setattr(net.opt, name, False)
    if net.load_param(job["shape_files"] + ".ncnn.param") or net.load_model(job["shape_files"] + ".ncnn.bin"):
        sys.exit("ncnn cannot read the files pnnx wrote")

    def run(x):
        with net.create_extractor() as extractor:
            extractor.input("in0", engine.Mat(x, batch_index=0))
            status, out = extractor.extract("out0")
            if status:
                sys.exit(f"ncnn's extract failed with {status}")
            return out.numpy(batch_index=0)
    return run


# ---- PyTorch ----

def import_converter():
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "scripts"))
    import convert_torchvision
    return convert_torchvision


def major_version(torch):
    return int(torch.__version__.split(".")[0])


def torch_model(job):
    """PyTorch and the network, loaded the fastest way it has: no weights drawn first, and the file's mapped."""
    import torch
    torch.set_num_threads(job["threads"])
    create = import_converter().create_model
    path = job["files"] + ".pth"
    if major_version(torch) < 2:
        model = create(job["arch"], job["classes"], job["channels"])
        model.load_state_dict(torch.load(path))
    else:
        with torch.device("meta"):
            model = create(job["arch"], job["classes"], job["channels"])
        model.load_state_dict(torch.load(path, mmap=True), assign=True)
    return torch, model


def torch_runner(torch, model):
    def run(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()
    return run


def torch_eager(job):
    return torch_runner(*torch_model(job))


def torch_frozen(job):
    torch, model = torch_model(job)
    shape = job["batch"], job["channels"], job["size"], job["size"]
    with torch.no_grad():
        traced = torch.jit.trace(model, torch.zeros(shape))
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return torch_runner(torch, frozen)


def torch_compile(job):
    torch, model = torch_model(job)
    from torch._inductor import config
    config.freezing = True
    compiled = torch.compile(model)

    def run(x):
        with torch.no_grad():
            return compiled(torch.from_numpy(x)).numpy()
    return run


# ---- Grad-CAM ----

def target_layer(job, model):
    if job["layer"]:
        return model.get_submodule(job["layer"])
    return model.layer4 if job["arch"].startswith("resnet") else model.features


def grad_cam(job):
    from pytorch_grad_cam import GradCAM
    torch, model = torch_model(job)
    explain = GradCAM(model=model, target_layers=[target_layer(job, model)])
    return lambda x: explain(input_tensor=torch.from_numpy(x), targets=None)


def torch_grad_cam(job):
    """Grad-CAM by hand, as lean as PyTorch allows: nothing recorded before the layer, and no gradients of weights."""
    torch, model = torch_model(job)
    model.requires_grad_(False)
    kept = []

    target_layer(job, model).register_forward_hook(lambda module, inputs, output: kept.append(output.requires_grad_()))

    def run(x):
        kept.clear()
        logits = model(torch.from_numpy(x))
        gradient, = torch.autograd.grad(logits.amax(1).sum(), kept)
        weights = gradient.mean((2, 3), keepdim=True)
        maps = torch.relu((weights * kept[0].detach()).sum(1, keepdim=True))
        maps -= maps.amin((2, 3), keepdim=True)
        maps /= maps.amax((2, 3), keepdim=True) + 1e-7
        return torch.nn.functional.interpolate(maps, x.shape[2:], mode="bilinear")[:, 0].numpy()
    return run


FORWARD = {"onnxruntime": onnxruntime, "openvino": openvino, "ncnn": ncnn, "torch": torch_eager,
           "torch-frozen": torch_frozen, "torch-compile": torch_compile}
GRAD_CAM = {"grad-cam": grad_cam, "torch-autograd": torch_grad_cam}
MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn", "torch": "torch",
           "torch-frozen": "torch", "torch-compile": "torch", "grad-cam": "pytorch_grad_cam", "torch-autograd": "torch"}


# ---- what this program is asked to do ----

def export(job):
    """Random weights, the same in every format, and the random input that is run through them."""
    convert = import_converter()
    import torch
    files, shape_files = job["files"], job["shape_files"]
    if not os.path.exists(files + ".bin"):
        model = convert.create_model(job["arch"], job["classes"], job["channels"])
        convert.randomize(model, job["seed"])
        torch.save(model.state_dict(), files + ".pth")
        convert.save(files + ".bin", model, job["arch"], {})
    _, model = torch_model(job)
    shape = [job["batch"], job["channels"], job["size"], job["size"]]
    x = np.random.default_rng(job["seed"]).standard_normal(shape, dtype=np.float32)
    legacy = {"dynamo": False} if major_version(torch) >= 2 else {}
    torch.onnx.export(model, (torch.from_numpy(x),), shape_files + ".onnx", opset_version=13, input_names=["x"],
                      **legacy)
    pnnx = shutil.which("pnnx", path=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    if pnnx:
        torch.jit.trace(model, torch.from_numpy(x)).save(shape_files + ".pt")
        subprocess.run([pnnx, shape_files + ".pt", "inputshape=" + str(shape).replace(" ", ""), "fp16=0"], check=True,
                       capture_output=True)
        for end in (".pt", ".pnnx.bin", ".pnnx.onnx", ".pnnx.param", "_ncnn.py", "_pnnx.py"):
            os.remove(shape_files + end)
    np.save(job["input"], x)  # last: where it is, the rest is


def serve(peer, job):
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    x = np.load(job["input"])
    run = {**FORWARD, **GRAD_CAM}[peer](job)
    np.save(job["answer"], run(x))
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        times, end = [], time.perf_counter() + float(line)
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            run(x)
            times.append(1e3 * (time.perf_counter() - start))
        print(json.dumps(times), file=out, flush=True)


def once(peer, job):
    """With torchvision's evaluation transform, without torchvision."""
    from PIL import Image
    photo = Image.open(job["photo"]).convert("RGB")
    w, h = (256 * side // min(photo.size) for side in photo.size)
    left, top = round((w - 224) / 2), round((h - 224) / 2)
    seen = photo.resize((w, h), Image.BILINEAR).crop((left, top, left + 224, top + 224))
    rgb = np.asarray(seen, np.float32) / 255
    x = (rgb - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    x = np.ascontiguousarray(x.transpose(2, 0, 1)[None])
    if peer in FORWARD:
        np.save(job["answer"], FORWARD[peer](job)(x))
        return
    maps = GRAD_CAM[peer](job)(x)
    np.save(job["answer"], maps)
    from pytorch_grad_cam.utils.image import show_cam_on_image
    Image.fromarray(show_cam_on_image(rgb, maps[0], use_rgb=True)).save(job["picture"])


def main():
    warnings.simplefilter("ignore")
    task, *peer, job = sys.argv[1:]
    {"export": export, "serve": serve, "once": once}[task](*peer, json.loads(job))


if __name__ == "__main__":
    main()
