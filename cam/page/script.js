"use strict";
/* A picture's maps are grey <img>s, hidden; the one chosen is coloured and drawn on the <canvas> that lies on the photograph. */
const controls = document.querySelector(".controls");
const chosen = (name, within) => within.querySelector(`input[name=${name}]:checked`);

/* 256 colours, 3 bytes each. */
function colors() {
    const bytes = atob(controls.querySelector("select").selectedOptions[0].dataset.colors);
    return Uint8Array.from(bytes, byte => byte.charCodeAt(0));
}

/* Enlarged first and then coloured: between two values lie values, not mixed colours. */
function paint(canvas, image) {
    const table = colors(), context = canvas.getContext("2d", { willReadFrequently: true });
    const scale = 512 / Math.max(image.naturalWidth, image.naturalHeight);
    canvas.width = Math.max(1, Math.round(scale * image.naturalWidth));
    canvas.height = Math.max(1, Math.round(scale * image.naturalHeight));
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4)
        for (let c = 0, value = pixels.data[i]; c < 3; c++)
            pixels.data[i + c] = table[3 * value + c];
    context.putImageData(pixels, 0, 0);
}

/* A method that explains all layers together has one map, whatever the layer. */
function chosenMap(picture) {
    const at = `${chosen("class", picture).value} ${chosen("method", controls).value}`;
    const layer = chosen("layer", controls).value;
    return picture.querySelector(`[data-map="${at} ${layer}"]`) || picture.querySelector(`[data-map="${at}"]`);
}

async function show(picture) {
    const image = chosenMap(picture), caption = picture.querySelector("figcaption"), canvas = picture.querySelector("canvas");
    await image.decode();
    if (image !== chosenMap(picture))
        return;
    paint(canvas, image);
    canvas.setAttribute("aria-label", image.alt);
    caption.querySelector("span").textContent = image.alt;
    caption.querySelector(".remark").textContent = image.dataset.remark;
}

function showScale() {
    const canvas = controls.querySelector("canvas"), context = canvas.getContext("2d"), table = colors();
    canvas.width = 256;
    canvas.height = 1;
    for (let i = 0; i < 256; i++) {
        context.fillStyle = `rgb(${table[3 * i]} ${table[3 * i + 1]} ${table[3 * i + 2]})`;
        context.fillRect(i, 0, 1, 1);
    }
}

function showAll() {
    const percent = controls.querySelector("input[type=range]").value;
    document.documentElement.style.setProperty("--opacity", percent / 100);
    controls.querySelector("output").textContent = `${percent} %`;
    controls.querySelector(".formula").textContent = chosen("method", controls).dataset.formula;
    showScale();
    return Promise.all(Array.from(document.querySelectorAll(".picture"), show));
}

controls.addEventListener("input", event => {
    if (event.target.type === "range") {
        document.documentElement.style.setProperty("--opacity", event.target.value / 100);
        controls.querySelector("output").textContent = `${event.target.value} %`;
    } else {
        showAll();
    }
});
for (const picture of document.querySelectorAll(".picture"))
    picture.addEventListener("input", () => show(picture));
showAll().then(() => document.body.dataset.ready = "yes");
