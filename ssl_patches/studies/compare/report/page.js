"use strict";
// The page reads without this; it sorts and filters the leaderboard, and draws the charts.
const board = document.getElementById("board");
const lines = () => [...board.tBodies[0].rows];

function sortBy(column, header) {
  const numeric = header.classList.contains("number");
  const down = header.getAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : numeric;
  const key = row => {
    const cell = row.cells[column];
    return numeric ? (cell.dataset.sort ? Number(cell.dataset.sort) : null) : cell.textContent;
  };
  const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, undefined, {numeric: true}));
  const sorted = lines().map(row => [key(row), row]).sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);  // what has no number stays at the end, either way
    return down ? compare(b, a) : compare(a, b);
  });
  for (const other of board.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  board.tBodies[0].append(...sorted.map(([, row]) => row));
}

[...board.tHead.rows[0].cells].forEach((header, column) =>
  header.querySelector("button").addEventListener("click", () => sortBy(column, header)));

document.getElementById("filter").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of lines()) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  const left = lines().filter(row => !row.hidden).length;
  document.getElementById("shown").textContent = words.length ? `${left} of ${lines().length} lines` : "";
});

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(details => { details.open = true; }));

const specs = JSON.parse(document.getElementById("specs").textContent);
for (const [id, spec] of Object.entries(specs)) {
  const place = document.getElementById(`chart-${id}`);
  vegaEmbed(place, spec, {renderer: "svg", actions: false, tooltip: {theme: "custom"}}).catch(error => {
    place.textContent = `The chart could not be drawn: ${error.message}`;
    place.dataset.failed = "yes";
  });
}
