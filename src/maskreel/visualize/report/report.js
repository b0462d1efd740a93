"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const video = document.querySelector("video"), canvas = document.querySelector(".stage canvas");
const [rows, columns] = data.size;
const scale = Math.max(1, Math.round(960 / columns));
canvas.width = scale * columns; canvas.height = scale * rows;
const pen = canvas.getContext("2d"), layer = new OffscreenCanvas(columns, rows), paint = layer.getContext("2d");
const state = { solo: null, hidden: new Set(), least: 0 };
const last = data.times[data.times.length - 1] || 0, end = Math.max(data.end, 1e-3);

const bytes = Uint8Array.from(atob(document.getElementById("video").textContent), (c) => c.charCodeAt(0));
video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));

/** COCO's compressed run lengths, column by column, as a Uint8Array with 1 inside. */
function decode(text) {
  const mask = new Uint8Array(rows * columns), counts = [];
  for (let at = 0, position = 0, inside = 0; at < text.length; inside ^= 1) {
    let value = 0, shift = 0, code;
    do {
      code = text.charCodeAt(at++) - 48;
      value |= (code & 31) << (5 * shift++);
    } while (code & 32);
    if (code & 16) value |= -1 << (5 * shift);
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
    if (inside) mask.fill(1, position, position + value);
    position += value;
  }
  return mask;
}

const frameAt = (time) => {
  let low = 0, high = data.times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data.times[middle] <= time + 1e-4) low = middle + 1; else high = middle;
  }
  return Math.max(0, low - 1);
};
const isShown = (object) =>
  object.score >= state.least && (state.solo === null ? !state.hidden.has(object.id) : state.solo === object.id);

function draw(time) {
  const frame = frameAt(time), labels = [];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const object of data.objects) {
    const text = object.masks[Math.floor(frame / data.every)];
    if (!text || !isShown(object)) continue;
    const mask = decode(text), image = paint.createImageData(columns, rows), [red, green, blue] = object.colour;
    const words = new Uint32Array(image.data.buffer), colour = (blue << 16) | (green << 8) | red;
    const inner = (colour | (115 << 24)) >>> 0, edge = (colour | (255 << 24)) >>> 0;
    let left = columns, top = rows;
    for (let x = 0, at = 0; x < columns; x++) for (let y = 0; y < rows; y++, at++) {
      if (!mask[at]) continue;
      if (x < left) left = x;
      if (y < top) top = y;
      const isEdge = !y || y === rows - 1 || !x || x === columns - 1 ||
        !mask[at - 1] || !mask[at + 1] || !mask[at - rows] || !mask[at + rows];
      words[y * columns + x] = isEdge ? edge : inner;
    }
    if (left === columns) continue;
    paint.putImageData(image, 0, 0);
    pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
    labels.push([object, scale * left, scale * top]);
  }
  for (const [object, left, top] of labels) {
    const legible = 13 * canvas.width / Math.max(1, canvas.clientWidth), label = `${object.id}`;
    const size = Math.round(Math.max(canvas.height / 22, legible));
    pen.font = `600 ${size}px system-ui, sans-serif`;
    const width = pen.measureText(label).width + 10, x = Math.min(left, canvas.width - width);
    const y = Math.max(0, top - size - 6);
    pen.fillStyle = `rgb(${object.colour})`;
    pen.fillRect(x, y, width, size + 6);
    pen.fillStyle = object.text;
    pen.textBaseline = "top";
    pen.fillText(label, x + 5, y + 3);
  }
  const share = `${Math.min(100, 100 * time / end)}%`;
  for (const bar of document.querySelectorAll(".bar")) {
    bar.lastChild.style.left = share;
    bar.setAttribute("aria-valuenow", time.toFixed(2));
    bar.setAttribute("aria-valuetext", clock(time));
  }
  place.value = time;
  place.setAttribute("aria-valuetext", clock(time));
  document.getElementById("time").textContent = `${clock(time)} / ${clock(end)}`;
  document.documentElement.dataset.frame = frame;
  document.documentElement.dataset.drawn = data.objects.filter((o) => o.masks[Math.floor(frame / data.every)] && isShown(o)).map((o) => o.id);
}

const clock = (time) => `${Math.floor(time / 60)}:${(time % 60).toFixed(2).padStart(5, "0")}`;
const seek = (time) => { video.currentTime = Math.min(Math.max(0, time), Math.max(last, 0)); };
// A little into the frame: at its very start players may still show the one before.
const showFrame = (frame) => {
  const at = Math.min(Math.max(0, frame), data.times.length - 1);
  video.currentTime = data.times[at] + 0.25 * ((data.times[at + 1] ?? end) - data.times[at]);
};
const jumpTo = (time) => showFrame(frameAt(time));
const redraw = () => draw(video.currentTime);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** Keys of a bar: the arrows go from frame to frame, Page Up and Page Down ten; Home, Enter and End to two times. */
function listen(element, first, final) {
  element.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (step) showFrame(frameAt(video.currentTime) + step);
    else if (event.key === "Home" || event.key === "Enter") jumpTo(first);
    else if (event.key === "End") jumpTo(final);
    else return;
    event.preventDefault();
  });
}

function bar(object) {
  const strip = make("canvas", { width: 1200, height: 1 }), brush = strip.getContext("2d");
  brush.fillStyle = `rgb(${object.colour})`;
  for (const [from, to] of object.seen) brush.fillRect(1200 * from / end, 0, Math.max(3, 1200 * (to - from) / end), 1);
  const element = make("div", { className: "bar", tabIndex: 0 }, strip, make("i", {}));
  for (const [name, value] of Object.entries({
    role: "slider", "aria-label": `where ${object.name} ${object.id} is seen; jump with the arrow keys`,
    "aria-valuemin": 0, "aria-valuemax": end.toFixed(2),
  })) element.setAttribute(name, value);
  element.addEventListener("click", (event) => {
    const box = element.getBoundingClientRect();
    seek(end * (event.clientX - box.left) / box.width);
  });
  listen(element, object.seen[0][0], object.last);
  return element;
}

const body = document.querySelector("tbody");
for (const object of data.objects) {
  const title = `${object.name} ${object.id}`;
  const show = make("input", { type: "checkbox", checked: true, ariaLabel: `show ${title}` });
  show.addEventListener("change", () => {
    if (show.checked) state.hidden.delete(object.id); else state.hidden.add(object.id);
    redraw();
  });
  const solo = make("button", { type: "button", textContent: "solo", ariaPressed: "false", ariaLabel: `solo ${title}` });
  solo.addEventListener("click", () => {
    choose(state.solo === object.id ? null : object.id);
    redraw();
  });
  solo.className = "solo";
  const jump = (time, what) => {
    const button = make("button", { type: "button", textContent: clock(time), ariaLabel: `${what} seen ${clock(time)}` });
    button.addEventListener("click", () => jumpTo(time));
    return button;
  };
  const chip = make("span", { className: "chip", textContent: object.id });
  chip.style.background = `rgb(${object.colour})`; chip.style.color = object.text;
  const cells = [
    ["", show], ["", solo],
    ["", object.thumb ? make("img", { className: "thumb", src: object.thumb, alt: title }) : ""],
    ["object", make("span", { className: "name" }, chip, object.name)],
    ["number", object.score.toFixed(2), "score"], ["first", jump(object.seen[0][0], "first"), "first"],
    ["last", jump(object.last, "last"), "last"], ["bars wide", bar(object)],
  ].map(([className, content, name]) => {
    const cell = make("td", { className }, content);
    if (name) cell.dataset.title = name;
    return cell;
  });
  const row = make("tr", {}, ...cells);
  row.dataset.object = object.id;
  body.append(row);
}

const play = document.getElementById("play"), place = document.getElementById("place");
const toggle = () => (video.paused ? video.play() : video.pause());
place.max = end;
place.addEventListener("input", () => seek(Number(place.value)));
listen(place, 0, last);
for (const element of [play, video]) element.addEventListener("click", toggle);
for (const event of ["play", "pause"])
  video.addEventListener(event, () => { play.textContent = video.paused ? "play" : "pause"; });

/** The one object that is shown, or null for all that are not hidden. */
function choose(id) {
  state.solo = id;
  for (const row of body.children) row.querySelector(".solo").ariaPressed = String(row.dataset.object === String(id));
}
const least = document.getElementById("least");
function filter() {
  state.least = Number(least.value);
  document.getElementById("least-value").textContent = state.least.toFixed(2);
  for (const row of body.children)
    row.className = data.objects.find((o) => String(o.id) === row.dataset.object).score >= state.least ? "" : "below";
  if (body.querySelector(".below .solo[aria-pressed=true]")) choose(null);
  for (const link of document.querySelectorAll("a.download"))
    link.href = `${location.pathname}/${link.dataset.kind}?least=${state.least}`;
  redraw();
}
least.value = data.least;
least.addEventListener("input", filter);
filter();
document.getElementById("all").addEventListener("click", () => {
  state.hidden.clear(); choose(null);
  for (const box of body.querySelectorAll("input")) box.checked = true;
  redraw();
});
document.getElementById("none").addEventListener("click", () => {
  choose(null);
  for (const object of data.objects) state.hidden.add(object.id);
  for (const box of body.querySelectorAll("input")) box.checked = false;
  redraw();
});

window.addEventListener("resize", redraw);
const hasFrames = "requestVideoFrameCallback" in HTMLVideoElement.prototype;
const follow = (_, frame) => { draw(frame.mediaTime); video.requestVideoFrameCallback(follow); };
if (hasFrames) video.requestVideoFrameCallback(follow);
// "pause": the end comes with it, and a busy browser may have skipped the callback of the last frame.
for (const event of ["seeked", "loadeddata", "timeupdate", "pause"])
  video.addEventListener(event, () => { if (!hasFrames || video.paused) redraw(); });
