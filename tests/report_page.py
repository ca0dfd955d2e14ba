"""camrun's HTML reports, taken apart, and networks and pictures to make them of."""
import base64
import html.parser
import io
import json

import numpy as np
from PIL import Image

from networks import resnet18, write_weights

NAMES = ["disc", "<script>alert(1)</script>", "a \"quoted\" & 'named' one", "</title><b>bold", "été", "ring"]
CLASSES = len(NAMES)


def make_files(folder):
    """net.bin, resnet18 of NAMES with inputs of 64x64, and two pictures, one with a name that is markup."""
    write_weights(folder / "net.bin", resnet18(CLASSES), arch="resnet18", classes=json.dumps(NAMES), resize="72", crop="64",
                  mean="[0.5]", std="[0.25]")
    rng = np.random.default_rng(3)
    ramp = np.add.outer(np.arange(90), np.arange(130))[..., None] * [1, 2, 3] % 256
    photo = np.where(rng.random((90, 130, 1)) < 0.5, ramp, rng.integers(0, 256, (90, 130, 3))).astype(np.uint8)
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(photo[:, :70]).save(folder / "<img src=x onerror=alert(1)>&.png")


class Element:
    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children, self.text = tag, dict(attributes), [], ""

    def find(self, tag, **attributes):
        """All elements below this one with the tag and these attributes, in their order."""
        found = []
        for child in self.children:
            if child.tag == tag and all(child.attributes.get(k.rstrip("_")) == v for k, v in attributes.items()):
                found.append(child)
            found += child.find(tag, **attributes)
        return found

    def all(self):
        yield self
        for child in self.children:
            yield from child.all()

    def words(self):
        return self.text + "".join(child.words() for child in self.children)


class Page(html.parser.HTMLParser):
    """A page as a tree; every element that is opened must be closed."""
    EMPTY = ("meta", "img", "input", "br")

    def __init__(self, path):
        super().__init__()
        self.root = Element("", ())
        self.stack = [self.root]
        self.feed(open(path, encoding="utf-8").read())
        self.close()
        assert self.stack == [self.root]

    def handle_starttag(self, tag, attributes):
        element = Element(tag, attributes)
        self.stack[-1].children.append(element)
        if tag not in self.EMPTY:
            self.stack.append(element)

    def handle_endtag(self, tag):
        assert self.stack.pop().tag == tag

    def handle_data(self, data):
        self.stack[-1].text += data


def picture_of(address):
    head, data = address.split(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
