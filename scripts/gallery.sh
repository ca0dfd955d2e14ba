#!/bin/sh
# Makes the README's gallery: pictures of what camrun shows, of the network that ships and of small ones that are trained
# here first, some minutes in all. What is trained is kept and not trained again.
#   sh scripts/gallery.sh [DIR [WORK]]      what `make gallery` does: pictures in gallery/, networks in build/gallery/
set -eu

here=$(dirname "$0")/..
out=${1:-gallery}
work=${2:-build/gallery}
camrun=$here/camrun
camtrain=$here/camtrain
camscenes=$here/camscenes
shipped=$here/weights/shapes.bin
photo=$here/cam/demo/shapes.png

mkdir -p "$out" "$work"

# scenes NAME OPTIONS...: pictures of one object each, in folders by class
scenes() {
    name=$1
    shift
    [ -e "$work/$name/boxes.csv" ] && return
    rm -rf "$work/$name"
    "$camscenes" "$work/$name" "$@" >/dev/null
}

# choose NAME FROM CLASSES...: a folder of those classes alone
choose() {
    name=$1
    from=$2
    shift 2
    [ -e "$work/$name" ] && return
    mkdir -p "$work/$name"
    for class in "$@"; do
        cp -r "$work/$from/train/$class" "$work/$name/$class"
    done
}

# train NAME FOLDER OPTIONS...: NAME.bin
train() {
    name=$1
    folder=$2
    shift 2
    [ -e "$work/$name.bin" ] && return
    echo "training $name"
    "$camtrain" "$work/$folder" "$@" --checkpoint "$work/$name.ckpt" -o "$work/$name.bin" | tail -n 2
    rm -f "$work/$name.ckpt"
}

# show PICTURE COMMAND...: says what is run
show() {
    picture=$1
    shift
    echo "$picture: camrun $*"
    "$camrun" "$@" -o "$out/$picture" >/dev/null
}

scenes small --train 1500 --size 160 --difficulty 0.2
scenes easy --train 8000 --size 96 --difficulty 0 --seed 11
scenes middle --train 1600 --size 224 --difficulty 0.1 --seed 13
scenes large --train 10 --size 1024 --difficulty 0.1 --seed 5
scenes two --train 1 --two 60 --size 256 --difficulty 0.1 --seed 7
scenes grey --train 10 --size 1024 --difficulty 0.1 --seed 5 --gray

# 1. Grad-CAM of a network whose head was replaced: three classes in place of ten, jet at 0.4, three panels
choose three small star heart ring
train three three --init "$shipped" --freeze conv1,bn1,layer1,layer2,layer3,layer4 --size 160 --resize 160 --epochs 3 --lr 0.05
show head_replaced.png "$photo" --weights "$work/three.bin" --class ring --alpha 0.4 --panel

# 2. A ResNet-18 of one channel, trained on small pictures, then on some of 224x224: kernels, feature maps, Grad-CAM at a
# convolution, what excites filters, guided backprop
train small_grey easy/train --arch resnet18 --channels 1 --size 96 --resize 96 --optimizer adam --lr 0.001 --epochs 2 --augment flip
train grey middle/train --init "$work/small_grey.bin" --size 224 --resize 224 --optimizer adam --lr 0.0005 --epochs 2 --augment flip
ring=$work/grey/train/ring/000006.png
show kernels.png filters --weights "$work/grey.bin" --layer layer1.0.conv1 --count 16
show feature_maps.png features "$ring" --weights "$work/grey.bin" --layer layer4.1.conv2 --count 64
show grey_layer2.png "$ring" --weights "$work/grey.bin" --layer layer2.0.conv1 --panel
show grey_filters.png maximise --weights "$work/grey.bin" --layer layer4.1.conv1 --filter 45,271,363,489
show grey_guided.png saliency "$ring" --weights "$work/grey.bin" --method guided

# 3. An AlexNet of two classes: Grad-CAM at its last feature map, 0.3 heat and 0.7 picture; LayerCAM at five depths
choose pair easy circle star
train alexnet pair --arch alexnet --size 224 --resize 224 --optimizer adam --lr 0.0003 --epochs 5 --augment flip
show alexnet.png "$work/large/train/star/000008.png" --weights "$work/alexnet.bin" --class star,circle \
    --layer features --alpha 0.3 --panel
show alexnet_layers.png "$work/large/train/star/000008.png" --weights "$work/alexnet.bin" --class star,circle --method layercam \
    --layer features.0,features.3,features.6,features.9,features.12 --sheet

# 4. A VGG19: Grad-CAM, guided backprop and Guided Grad-CAM of a class that is chosen by its index. Sixteen convolutions do not
# begin to learn within minutes: they train with batch normalisation, which is folded into them then (--arch vgg19). Two
# layers with 120 million random weights stay as they are; --freeze is for weights from a file, so that the network is
# written first, after steps of next to nothing. Small pictures, then larger ones, then the last layer behind what was folded.
choose vgg_small easy circle heart star
choose vgg_large middle circle heart star
if ! [ -e "$work/vgg19.bin" ]; then
    random=classifier.0,classifier.3
    train vgg19_new vgg_large --arch vgg19_bn --size 32 --resize 32 --lr 1e-9 --momentum 0 --batch 60 --epochs 1 --val 0
    train vgg19_small vgg_small --init "$work/vgg19_new.bin" --freeze $random --size 64 --resize 64 --optimizer adam --lr 0.0003 \
        --batch 16 --epochs 2 --augment flip --val 0.04
    train vgg19_bn vgg_large --init "$work/vgg19_small.bin" --freeze $random --size 128 --resize 128 --optimizer adam --lr 0.0002 \
        --batch 12 --epochs 4 --augment flip
    train vgg19 vgg_large --arch vgg19 --init "$work/vgg19_bn.bin" --freeze features,$random --optimizer adam --lr 0.001 \
        --batch 16 --epochs 1 --augment flip
    rm "$work/vgg19_new.bin" "$work/vgg19_small.bin" "$work/vgg19_bn.bin"
fi
both=$work/two/two/star/000028.png
show vgg19.png "$both" --weights "$work/vgg19.bin" --class 2 --layer features.35 --panel
show vgg19_guided.png saliency "$both" --weights "$work/vgg19.bin" --class 2 --method guided
show vgg19_guided_gradcam.png saliency "$both" --weights "$work/vgg19.bin" --class 2 --method guidedgradcam --layer features.35

# 5. A ResNet-34 of five classes and one channel, values in [0,1] alone: CAM of each class, and of all together
choose five easy arrow circle crescent cross star
train five five --arch resnet34 --width 16 --channels 1 --mean 0 --std 1 --size 128 --resize 128 --optimizer adam --lr 0.002 \
    --epochs 3 --augment flip
show cam_each.png "$work/grey/train/star/000008.png" --weights "$work/five.bin" --method cam --class all --sheet
show cam_mean.png "$work/grey/train/star/000008.png" --weights "$work/five.bin" --method cam --class all --average-classes --panel

# Classes, methods and layers of the network that ships, and all of it in one page
show sheet.png "$photo" --weights "$shipped" --class star,ring --layer layer2,layer3,layer4 --sheet
show methods.png "$photo" --weights "$shipped" --class star,ring \
    --method gradcam,gradcam++,layercam,eigencam,scorecam,ablationcam --sheet
show report.html report "$photo" --weights "$shipped" --method gradcam,layercam,fullgrad \
    --layer layer2,layer3,layer4
