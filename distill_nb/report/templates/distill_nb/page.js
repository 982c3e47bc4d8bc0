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
