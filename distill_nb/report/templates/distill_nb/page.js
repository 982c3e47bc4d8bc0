// A click or a key on a table's head sorts: up, down, and back to the order that it came in.
// Numbers sort by the number that a cell begins with, so that `47.9* [35, 61]` is 47.9; cells
// without a value come last in both directions.
const missing = /^(|—|–|-|\?|nan|none)$/i;
const textOf = (row, i) => row.cells[i].textContent.trim().replace(/−/g, "-");
const numberOf = text => {
  const found = text.match(/^[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)?/i);
  return found ? parseFloat(found[0].replace(/,/g, "")) : NaN;
};
document.querySelectorAll("table").forEach(table => {
  const body = table.tBodies[0], heads = table.tHead ? [...table.tHead.rows].at(-1).cells : [];
  if (!body || body.rows.length < 2 || body.querySelector("[rowspan], [colspan]")) return;
  const rows = [...body.rows];
  [...heads].forEach((head, i) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const before = head.getAttribute("aria-sort");
      const now = before === null ? "ascending" : before === "ascending" ? "descending" : null;
      [...heads].forEach(h => h.removeAttribute("aria-sort"));
      if (now === null) { body.append(...rows); return; }
      head.setAttribute("aria-sort", now);
      const there = rows.filter(r => !missing.test(textOf(r, i)));
      const gone = rows.filter(r => missing.test(textOf(r, i)));
      const numeric = there.every(r => !isNaN(numberOf(textOf(r, i))));
      const sign = now === "ascending" ? 1 : -1;
      const compare = (a, b) =>
        numeric ? numberOf(a) - numberOf(b) : a.localeCompare(b, "en", {numeric: true});
      there.sort((a, b) => sign * compare(textOf(a, i), textOf(b, i)));
      body.append(...there, ...gone);
    };
  });
});
// A box that does not scroll need not be stopped at.
const boxes = document.querySelectorAll(".wide, .figure");
const fit = () => boxes.forEach(box => {
  box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
});
addEventListener("load", fit);
addEventListener("resize", fit);
document.addEventListener("toggle", fit, true);
// A heading's sign copies the address of its section.
document.querySelectorAll("a.here").forEach(link => link.addEventListener("click", () => {
  navigator.clipboard?.writeText(link.href).catch(() => {});
}));
// The list of headings shows where the reader is, and begins folded where it stands above the text.
const contents = document.querySelector(".contents");
if (contents) {
  contents.open = matchMedia("(min-width: 88rem)").matches;
  const links = new Map([...contents.querySelectorAll("a")].map(a => [decodeURIComponent(a.hash.slice(1)), a]));
  const headings = [...links.keys()].map(id => document.getElementById(id)).filter(Boolean);
  const where = () => {
    const passed = headings.filter(h => h.getBoundingClientRect().top < 120);
    links.forEach(a => a.removeAttribute("aria-current"));
    links.get((passed.at(-1) || headings[0])?.id)?.setAttribute("aria-current", "true");
  };
  addEventListener("scroll", () => requestAnimationFrame(where), {passive: true});
  where();
}
// Tables are saved as CSV; figures as SVG, and their data as CSV where the page has it.
const save = (name, type, data) => {
  const link = document.createElement("a");
  link.href = data.startsWith("data:") ? data : URL.createObjectURL(new Blob([data], {type}));
  link.download = name;
  link.click();
};
const offer = (below, saves) => {
  const line = document.createElement("div");
  line.className = "downloads";
  saves.forEach(([text, act]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.onclick = act;
    line.append(button);
  });
  below.after(line);
};
const fileName = part => (part.getAttribute("aria-label") || "part").replace(/^\w+: /, "").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 60);
document.querySelectorAll(".wide").forEach(box => {
  const table = box.querySelector("table");
  if (!table.tBodies[0] || table.tBodies[0].rows.length === 0) return;
  const quoted = text => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const cells = row => [...row.cells].map(cell => quoted(cell.innerText.trim())).join(",");
  offer(box, [["download CSV", () => save(`${fileName(box)}.csv`, "text/csv", [...table.rows].map(cells).join("\n") + "\n")]]);
});
document.querySelectorAll("figure.figure").forEach(figure => {
  const image = figure.querySelector("img"), saves = [];
  if (image && image.src.startsWith("data:image/svg")) saves.push(["download SVG", () => save(`${fileName(figure)}.svg`, "image/svg+xml", image.src)]);
  if (figure.dataset.csv) saves.push(["download CSV", () => save(`${fileName(figure)}.csv`, "text/csv", figure.dataset.csv)]);
  if (saves.length) offer(figure, saves);
});
