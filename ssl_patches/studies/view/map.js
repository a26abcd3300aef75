"use strict";
// Asks for the points of a map until they are there, draws them, and shows what lies near.
const at = id => document.getElementById(id);
const home = at("map").dataset.root, largest = Number(at("map").dataset.largest);
const canvas = at("canvas"), frame = at("frame"), pen = canvas.getContext("2d");
const EDGE = 18, REACH = 18;  // pixels at the edge, pixels around a pointer
const MOST_ZOOM = 60, MOST_STRETCH = 1.6;
let points = null, colouring = null, only = null, chosen = null, nearest = [], mark = null;
let view = {x: 0.5, y: 0.5, zoom: 1}, colours = {}, waiting = false;

// --- waiting for the points -------------------------------------------------------------------
async function ask() {
  let found;
  try {
    found = await (await fetch(`${home}points`)).json();
  } catch (error) {
    at("state").textContent = "The server does not answer: is ssl-patches view still running?";
    setTimeout(ask, 3000);
    return;
  }
  if (found.state === "done") return begin(found);
  if (found.state === "failed") {
    at("state").textContent = `No map: ${found.error}. Load this page again to try again.`;
    at("progress").hidden = true;
    return;
  }
  const left = found.left === null ? "" : `, about ${Math.ceil(found.left)} s left`;
  const count = found.total ? `: ${found.done.toLocaleString("en")} of ${found.total.toLocaleString("en")}${left}` : "";
  at("state").textContent = found.doing + count;
  const bar = at("progress").firstElementChild;
  at("progress").hidden = false;
  if (found.total) bar.value = found.done / found.total; else bar.removeAttribute("value");
  setTimeout(ask, 500);
}

function begin(found) {
  points = found;
  readFit();
  at("state").hidden = at("progress").hidden = true;
  at("shown").hidden = false;
  for (const [number, one] of found.by.entries()) at("by").append(new Option(one.title, number));
  for (const note of found.notes) {
    const line = document.createElement("li");
    line.textContent = note;
    at("notes").append(line);
  }
  const about = document.createElement("li");
  about.textContent = "Images that lie together are alike to the encoder (t-SNE of its features). How far groups lie apart, " +
    "and how large they are, means nothing, and there are groups in noise too.";
  at("notes").append(about);
  at("by").addEventListener("change", chooseColouring);
  chooseColouring();
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
  readColours();
}

// --- colours and the legend -------------------------------------------------------------------
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const get = name => style.getPropertyValue(name).trim();
  colours = {ink: get("--ink"), paper: get("--paper"), rest: get("--muted"), each: []};
  for (let number = 0; number < 10; number++) colours.each.push(get(`--c${number}`));
  draw();
}

function chooseColouring() {
  colouring = points.by[Number(at("by").value)] || {title: "nothing", names: [], of: points.names.map(() => -1), rest: ""};
  only = null;
  at("by").parentElement.hidden = points.by.length === 0;
  at("legend").replaceChildren(...colouring.names.map((name, number) => legendEntry(name, number)));
  if (colouring.rest) at("legend").append(legendEntry(colouring.rest, -1));
  draw();
}

function legendEntry(name, number) {
  const entry = document.createElement("button"), dot = document.createElement("i");
  dot.style.background = number < 0 ? "var(--muted)" : `var(--c${number})`;
  entry.append(dot, name);
  entry.setAttribute("aria-pressed", "false");
  entry.addEventListener("click", () => {
    only = only === number ? null : number;
    for (const other of at("legend").children) other.setAttribute("aria-pressed", String(other === entry && only !== null));
    draw();
  });
  return entry;
}

// --- drawing ----------------------------------------------------------------------------------
const side = () => [canvas.clientWidth, canvas.clientHeight];
let fit = {x: 0.5, y: 0.5, width: 1, height: 1};  // what is shown as a whole

function readFit() {
  const ends = [0, 1].map(axis => {
    const each = points.places.filter((_, number) => number % 2 === axis);
    return [Math.min(...each), Math.max(...each)];
  });
  const [[left, right], [top, bottom]] = ends;
  fit = {x: (left + right) / 2, y: (top + bottom) / 2, width: right - left || 1, height: bottom - top || 1};
  view = {x: fit.x, y: fit.y, zoom: 1};
}

function scales() {  // the axes of a map mean nothing, so it may be stretched a little to fill its frame
  const [width, height] = side(), across = (width - 2 * EDGE) / fit.width, down = (height - 2 * EDGE) / fit.height;
  const least = Math.min(across, down) * MOST_STRETCH;
  return [Math.min(across, least) * view.zoom, Math.min(down, least) * view.zoom];
}

function toScreen(point) {
  const [width, height] = side(), [across, down] = scales();
  return [width / 2 + (points.places[2 * point] - view.x) * across, height / 2 + (points.places[2 * point + 1] - view.y) * down];
}

function draw() {
  if (waiting || !points) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
}

function paint() {
  const [width, height] = side(), ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, width, height);
  const radius = Math.min(5, (points.names.length > 3000 ? 2 : 3) * Math.sqrt(Math.min(view.zoom, 3)));
  for (const front of [false, true]) {  // what is chosen lies above the rest
    for (let point = 0; point < points.names.length; point++) {
      const of = colouring.of[point];
      if ((only === null || of === only) !== front) continue;
      const [x, y] = toScreen(point);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      pen.globalAlpha = front ? 0.85 : 0.12;
      pen.fillStyle = of < 0 ? colours.rest : colours.each[of];
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colours.ink;
  const start = mark ?? chosen;
  for (const point of nearest) {
    const [x, y] = toScreen(point);
    if (start !== null) {
      pen.globalAlpha = 0.35;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(...toScreen(start));
      pen.lineTo(x, y);
      pen.stroke();
      pen.globalAlpha = 1;
    }
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.arc(x, y, radius + 3, 0, 7);
    pen.stroke();
  }
  if (start !== null) {
    const [x, y] = toScreen(start);
    pen.fillStyle = pen.strokeStyle = colours.ink;
    pen.beginPath();
    pen.arc(x, y, radius + 2, 0, 7);
    pen.fill();
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.arc(x, y, radius + 8, 0, 7);
    pen.stroke();
  }
}

// --- looking closer ---------------------------------------------------------------------------
function zoomBy(factor, [x, y] = side().map(one => one / 2)) {
  const [width, height] = side(), before = scales();
  view.zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor));
  const after = scales();
  view.x += (x - width / 2) * (1 / before[0] - 1 / after[0]);
  view.y += (y - height / 2) * (1 / before[1] - 1 / after[1]);
  if (view.zoom === 1) showWhole(); else draw();
}

function showWhole() {
  view = {x: fit.x, y: fit.y, zoom: 1};
  draw();
}

function moveBy(x, y) {
  const [across, down] = scales();
  view.x -= x / across;
  view.y -= y / down;
  draw();
}

const here = event => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };

function pointAt([x, y]) {
  let best = null, closest = REACH ** 2;
  for (let point = 0; point < points.names.length; point++) {
    if (only !== null && colouring.of[point] !== only) continue;
    const [left, top] = toScreen(point), apart = (left - x) ** 2 + (top - y) ** 2;
    if (apart < closest) { best = point; closest = apart; }
  }
  return best;
}

function showTip(point) {
  const tip = at("tip");
  tip.hidden = point === null;
  if (point === null) return;
  const [x, y] = toScreen(point), [width, height] = side(), image = tip.querySelector("img");
  const address = `${home}thumb/${point}`;
  if (image.getAttribute("src") !== address) image.src = address;
  tip.querySelector("figcaption").textContent = points.names[point];
  const room = tip.offsetWidth + 14;
  tip.style.left = `${Math.max(2, x + room < width ? x + 12 : x - room)}px`;
  tip.style.top = `${Math.max(2, Math.min(y - 20, height - tip.offsetHeight - 4))}px`;
}

const fingers = new Map();
let moved = 0;
const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
canvas.addEventListener("pointerdown", event => { fingers.set(event.pointerId, here(event)); moved = 0; });
canvas.addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId), now = here(event);
  if (!points) return;
  if (!before) return event.pointerType === "mouse" && showTip(pointAt(now));
  if (fingers.size === 2) {
    const apart = spread();
    fingers.set(event.pointerId, now);
    const [a, b] = [...fingers.values()];
    zoomBy(spread() / Math.max(apart, 1), [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
    moved = 99;
    return;
  }
  fingers.set(event.pointerId, now);
  moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
  if (moved > 6) { showTip(null); moveBy(now[0] - before[0], event.pointerType === "mouse" ? now[1] - before[1] : 0); }
});
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, event => fingers.delete(event.pointerId));
canvas.addEventListener("pointerleave", event => event.pointerType === "mouse" && showTip(null));
canvas.addEventListener("click", event => {
  if (!points || moved > 6) return;
  const point = pointAt(here(event));
  showTip(point);
  if (point !== null) choose(point);
});
canvas.addEventListener("wheel", event => { event.preventDefault(); zoomBy(Math.exp(-event.deltaY / 400), here(event)); }, {passive: false});
at("in").addEventListener("click", () => zoomBy(1.5));
at("out").addEventListener("click", () => zoomBy(1 / 1.5));
at("whole").addEventListener("click", showWhole);

// --- what lies near ---------------------------------------------------------------------------
async function choose(point) {
  const found = await (await fetch(`${home}near/${point}`)).json();
  chosen = point;
  mark = null;
  show("Nearest to this image", `${home}thumb/${point}`, points.names[point], found);
}

function show(title, source, name, found) {
  nearest = found.which;
  at("near").hidden = false;
  at("of").textContent = title;
  const image = new Image(), text = document.createElement("div");
  image.src = source;
  image.alt = "";
  text.textContent = name;
  at("query").replaceChildren(image, text);
  at("nearest").replaceChildren(...found.which.map((point, number) => {
    const entry = document.createElement("button"), picture = new Image(), label = document.createElement("span");
    picture.src = `${home}thumb/${point}`;
    picture.alt = "";
    label.textContent = `${found.cosines[number].toFixed(2)} ${points.names[point]}`;
    label.title = "cosine of the features, and the name";
    entry.append(picture, label);
    entry.addEventListener("click", () => choose(point));
    return entry;
  }));
  draw();
}

async function drop(file) {
  if (!file || !points) return;
  if (file.size > largest * 2 ** 20) return fail(`${file.name}: has more than ${largest} MB`);
  let answer, found;
  try {
    answer = await fetch(`${home}near`, {method: "POST", body: file, headers: {"Content-Type": "application/octet-stream"}});
    found = await answer.json();
  } catch (error) {
    return fail("The server does not answer.");
  }
  if (!answer.ok) return fail(`${file.name}: ${found.error}`);
  chosen = null;
  mark = found.place;
  show("Nearest to your image", found.image, `${file.name}, as the encoder sees it`, found);
}

function fail(said) {
  nearest = [];
  chosen = mark = null;
  at("near").hidden = false;
  at("of").textContent = said;
  at("query").replaceChildren();
  at("nearest").replaceChildren();
  draw();
}

at("file").addEventListener("change", event => drop(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, event => {
    event.preventDefault();
    frame.classList.toggle("over", name === "dragover");
    if (name === "drop") drop(event.dataTransfer.files[0]);
  });
}
ask();
