#!/bin/sh
# make evaluate: do the maps mean something? Draws pictures that no training saw, evaluates methods and layers on them, and
# writes bench/EVALUATION.md; every figure goes to build/evaluate/*.csv, from which bench/plot_evaluation.py draws
# bench/evaluation.png, if Python has matplotlib.
#
# In the environment: WEIGHTS (weights/shapes.bin), SIZE of the pictures (160), ONE, TWO and FEW numbers of them (500, 250 and
# 40: the metrics that run the network many times take the few), PYTHON.
set -e
cd "$(dirname "$0")/.."
weights=${WEIGHTS:-weights/shapes.bin} size=${SIZE:-160} one=${ONE:-500} two=${TWO:-250} few=${FEW:-40}
dir=build/evaluate
methods=gradcam,gradcam++,xgradcam,hirescam,gradcam-elementwise,layercam,eigencam,eigengradcam,ablationcam,cam,fem,fullgrad
methods=$methods,randomcam,random,centre
layers=layer2,layer3,layer4

rm -rf "$dir"
mkdir -p "$dir"
./camscenes "$dir/one" --val "$one" --size "$size" --seed 2026
./camscenes "$dir/two" --two "$two" --size "$size" --seed 2026
./camscenes "$dir/few" --val "$few" --size "$size" --seed 2027

# Runs camrun evaluate, its tables to the file of that name and to the terminal.
run() {
    name=$1
    shift
    ./camrun evaluate --weights "$weights" --csv "$dir/$name.csv" "$@" >"$dir/$name.md"
    cat "$dir/$name.md"
    echo
}
run one --boxes "$dir/one/boxes.csv" --metric pointing,energy --layer $layers --method $methods
run two --boxes "$dir/two/boxes.csv" --metric pointing,energy --layer $layers --method $methods
run few --boxes "$dir/few/boxes.csv" --metric pointing,energy,drop,insertion,deletion,road --method $methods,scorecam
run random --boxes "$dir/few/boxes.csv" --metric randomization \
    --method gradcam,gradcam++,xgradcam,gradcam-elementwise,layercam,eigencam,eigengradcam,ablationcam,cam,fem

{
    echo "# Do the maps mean something?"
    echo
    echo "Written by \`make evaluate\` (bench/evaluate.sh): \`$weights\` on pictures of ${size}x$size that camscenes drew from"
    echo "seeds no training has used. random is a map of noise, centre a blob in the middle. Metrics: cam/metrics.h, perturb.h."
    echo
    echo "## Where maps point: one object"
    echo
    cat "$dir/one.md"
    echo
    echo "## Two objects of different classes: each class's map should point at its own"
    echo
    cat "$dir/two.md"
    echo
    echo "## What the evidence is worth to the network"
    echo
    echo "Better is higher, but for drop and deletion."
    echo
    cat "$dir/few.md"
    echo
    echo "## Parameter randomisation: maps must change as the network forgets"
    echo
    cat "$dir/random.md"
} >"$dir/EVALUATION.md"
mv "$dir/EVALUATION.md" bench/EVALUATION.md
echo "tables written to bench/EVALUATION.md, every figure to $dir/*.csv"

if "${PYTHON:-python3}" -c "import matplotlib" 2>/dev/null; then
    "${PYTHON:-python3}" bench/plot_evaluation.py "$dir" bench/evaluation.png
else
    echo "${PYTHON:-python3} has no matplotlib: bench/evaluation.png is left as it is"
fi
