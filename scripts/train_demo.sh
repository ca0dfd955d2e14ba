#!/bin/sh
# Trains weights/shapes.bin, the network that ships, from nothing: draws its pictures, then trains on them.
#   sh scripts/train_demo.sh DIR                      what `make train-demo` does: DIR/shapes.bin and DIR/pictures
#   sh scripts/train_demo.sh DIR PICTURES EPOCHS      with fewer (12000 and 16)
# An interrupted training goes on with ./camtrain --resume DIR/shapes.ckpt
set -eu

dir=${1:?"usage: sh scripts/train_demo.sh DIR [PICTURES EPOCHS]"}
pictures=${2:-12000}
epochs=${3:-16}
programs=$(dirname "$0")/..

mkdir -p "$dir"
"$programs/camscenes" "$dir/pictures" --train "$pictures" --val $((pictures / 12)) --size 160
"$programs/camtrain" "$dir/pictures/train" --val "$dir/pictures/val" --arch resnet18 --width 16 \
    --size 160 --resize 160 --augment flip,crop=0.6 \
    --epochs "$epochs" --warmup 1 --lr 0.025 --weight-decay 0.0005 --dtype float16 \
    --json "$dir/shapes.json" -o "$dir/shapes.bin"
