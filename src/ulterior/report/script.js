"use strict";
// Everything here is a convenience: without it the page still shows all that it has.

const root = document.documentElement;
const toggle = document.getElementById("theme");
const remembered = { get: () => { try { return localStorage.getItem("ulterior-theme"); } catch { return null; } },
                     set: (v) => { try { localStorage.setItem("ulterior-theme", v); } catch { /* a file page may not */ } } };
const wanted = remembered.get();
if (wanted === "light" || wanted === "dark") root.dataset.theme = wanted;
toggle.hidden = false;
toggle.addEventListener("click", () => {
  const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  remembered.set(root.dataset.theme);
});

for (const board of document.querySelectorAll(".board")) {
  const body = board.querySelector("tbody");
  const rows = Array.from(body.rows);
  const heads = Array.from(board.querySelectorAll("tr.labels th"));

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const key = (row) => row.cells[column].dataset.sort;
    const byName = column === 0 ? !head.classList.contains("num") : head.classList.contains("words");
    // Numbers start with the largest, names with the first letter; a second click turns it round.
    const first = byName ? "ascending" : "descending";
    const direction = head.getAttribute("aria-sort") === first ? (byName ? "descending" : "ascending") : first;
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const ordered = rows.slice().sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what is undefined stays at the end
      return sign * (byName ? x.localeCompare(y, undefined, { numeric: true }) : Number(x) - Number(y));
    });
    body.append(...ordered);
  }));

  const filter = board.querySelector(".filter");
  if (filter === null) continue;
  const hide = board.querySelector(".hide-controls");
  const choices = Array.from(board.querySelectorAll(".choice"));
  const empty = board.querySelector(".empty");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.dataset.words.toLowerCase();
      const control = ["control", "ceiling", "oracle"].some((role) => row.classList.contains(role));
      const chosen = choices.every((choice) => choice.value === "" || row.dataset[choice.dataset.of] === choice.value);
      row.hidden = !chosen || !words.every((word) => text.includes(word)) || (hide !== null && hide.checked && control);
      shown += row.hidden ? 0 : 1;
    }
    empty.hidden = shown > 0;
  };
  filter.addEventListener("input", apply);
  for (const input of hide ? [...choices, hide] : choices) input.addEventListener("change", apply);
}

for (const drawing of document.querySelectorAll(".layered")) {
  // Over a box, or after a tap on it, its own lines stand out.
  const pick = (name) => {
    drawing.classList.toggle("picked", name !== null);
    for (const edge of drawing.querySelectorAll(".edge"))
      edge.classList.toggle("lit", name !== null && (edge.dataset.from === name || edge.dataset.to === name));
  };
  if (drawing.querySelector(".edge") === null) continue;
  for (const node of drawing.querySelectorAll(".node")) {
    node.addEventListener("pointerenter", () => pick(node.dataset.node));
    node.addEventListener("pointerleave", () => pick(null));
  }
}
