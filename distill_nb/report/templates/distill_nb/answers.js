// ---- Data. A script in a folder answers/ calls one of these four functions with what it has.
const runs = {}, waiting = {};
const arrived = (key, value) => { const wanted = waiting[key]; if (wanted) wanted(value); };
function answersRuns(names) { arrived("runs", names); }
function answersIndex([run, index]) { arrived(`${run}/index.js`, index); }
function answersText([run, name, packed]) { arrived(`${run}/${name}`, packed); }
function answersWords([run, name, packed]) { arrived(`${run}/${name}`, packed); }

const script = (key, address) => new Promise((resolve, reject) => {
  waiting[key] = resolve;
  const element = document.createElement("script");
  element.src = address;
  element.onload = () => { delete waiting[key]; element.remove(); reject(new Error(address)); };  // it did not call
  element.onerror = element.onload;
  document.head.append(element);
});
const address = (run, name) => `${run === OWN ? "" : `../${encodeURIComponent(run)}/`}answers/${name}`;
const unpacked = async packed => {
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(packed) : Uint8Array.from(atob(packed), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
};
const kept = new Map();  // scripts of texts that were read last
const texts = async (run, name) => {
  const key = `${run}/${name}`;
  const found = kept.get(key) || script(key, address(run, name)).then(unpacked).then(b => JSON.parse(new TextDecoder().decode(b)));
  kept.delete(key);
  kept.set(key, found);
  if (kept.size > 12) kept.delete(kept.keys().next().value);
  return found;
};
const keyOf = (index, row) => {
  const [problem, sample] = index.rows[row], [benchmark, task] = index.problems[problem];
  return JSON.stringify([index.benchmarks[benchmark][0], task, sample]);
};
const load = async run => {
  if (!runs[run]) {
    const index = await script(`${run}/index.js`, address(run, "index.js"));
    index.rowOf = new Map(index.rows.map((_, row) => [keyOf(index, row), row]));
    runs[run] = index;
  }
  return runs[run];
};
const textsOf = async (run, row) => {
  const index = runs[run], problem = index.rows[row][0];
  return (await texts(run, index.texts[index.problems[problem][3]]))[problem];
};

// ---- Search: an index of words (word_index.py), and for a phrase the texts themselves.
const LONGEST = 40, WORD = /[\p{L}\p{N}_]+/gu;
const wordsOf = text => (text.toLowerCase().match(WORD) || []).map(w => [...w].slice(0, LONGEST).join(""));
const wordIndex = async run => {
  const index = runs[run];
  if (!index.search) index.search = script(`${run}/${index.words}`, address(run, index.words)).then(unpacked).then(buffer => {
    const size = new DataView(buffer).getUint32(0, true), at = 4 + size + (-size & 3);
    const vocabulary = new TextDecoder().decode(new Uint8Array(buffer, 4, size));
    const n = new DataView(buffer).getUint32(at, true);
    const starts = new Uint32Array(buffer, at + 4, n + 1);
    return {words: vocabulary ? vocabulary.split("\n") : [], starts, numbers: new Uint8Array(buffer, at + 4 * (n + 2))};
  });
  return index.search;
};
const textsWith = ({words, starts, numbers}, word, size) => {  // 1 for each number of a text with that word
  const found = new Uint8Array(size), whole = [...word].length < 3;
  words.forEach((other, i) => {
    if (whole ? other !== word : !other.includes(word)) return;
    let number = -1;
    for (let at = starts[i]; at < starts[i + 1];) {
      let value = 0, shift = 0, byte;
      do { byte = numbers[at++]; value += (byte & 127) * 2 ** shift; shift += 7; } while (byte > 127);
      number += value;
      found[number] = 1;
    }
  });
  return found;
};
const parsed = query => {
  const phrases = [...query.matchAll(/"([^"]+)"/g)].map(m => m[1].toLowerCase());
  return {phrases, words: [...new Set(wordsOf(query))]};
};
// Row → true where its problem or one answer has all words; a phrase is looked up in the texts.
const search = async (run, query, said, still) => {
  const {phrases, words} = parsed(query), index = runs[run], width = index.steps.length + 1;
  const has = new Uint8Array(index.rows.length);
  if (words.length) {
    const inverted = await wordIndex(run), size = index.rows.length * width;
    const each = words.map(word => textsWith(inverted, word, size));
    for (let row = 0; row < has.length; row++)
      for (let at = row * width; at < (row + 1) * width && !has[row]; at++) has[row] = each.every(found => found[at]) ? 1 : 0;
  } else has.fill(1);
  if (phrases.length) {
    const rows = [...has.keys()].filter(row => has[row]);
    for (let i = 0; i < rows.length; i++) {
      if (i % 100 === 0) said(`Looking for the phrase: ${i} of ${rows.length} problems…`);
      if (!still()) return null;
      const row = rows[i], found = await textsOf(run, row), [, sample] = index.rows[row];
      const answers = Object.values(found.answers[sample]).map(a => [a.completion, a.answer, a.detail].join("\n"));
      const all = [`${index.problems[index.rows[row][0]][1]}\n${found.problem}`, ...answers].map(text => text.toLowerCase());
      has[row] = all.some(text => phrases.every(phrase => text.includes(phrase)) && words.every(word => text.includes(word))) ? 1 : 0;
    }
  }
  return has;
};

// ---- State: the form, the rows that it leaves, the one that is open.
const $ = id => document.getElementById(id), form = $("filters"), field = name => form.elements[name];
const option = (value, text) => new Option(text, value);
const side = name => { const [run, step] = JSON.parse(field(name).value || "[null, 0]"); return {run, step: String(step)}; };
const place = ({run, step}) => `${run === OWN ? "" : `${run}, `}${step === "0" ? "base" : `step ${step}`}`;
let rows = [], has = null, open = null, turn = 0, asked = null;

const at = ({run, step}, key) => {  // what a side says of an answer, by the answer's key
  const index = runs[run], row = index.rowOf.get(key);
  if (row === undefined || !(step in index.outcome)) return null;
  const digit = index.outcome[step][row];
  if (digit === "-") return null;
  const read = column => (OUTCOMES[index[column][step][row]] || {}).key;
  return {outcome: read("outcome"), lenient: read("lenient_outcome"), second: read("second_outcome"),
          tokens: index.tokens[step][row], answer: index.answer[step][row]};
};
const CHANGES = {
  gained: (l, r) => l.outcome !== "correct" && r.outcome === "correct",
  lost: (l, r) => l.outcome === "correct" && r.outcome !== "correct",
  flipped: (l, r) => (l.outcome === "correct") !== (r.outcome === "correct"),
  differs: (l, r) => l.outcome !== r.outcome,
  readings: (l, r) => [l, r].some(a => (a.second && a.second !== a.outcome) || (a.lenient && a.lenient !== a.outcome)),
};
const rightOf = row => Object.values(runs[OWN].outcome).filter(column => (OUTCOMES[column[row]] || {}).key === "correct").length;

const filtered = async () => {
  const mine = ++turn, started = performance.now(), index = runs[OWN], query = field("q").value.trim();
  const sides = [side("left"), side("right")];
  await Promise.all(sides.map(({run}) => load(run)));
  if (query !== asked) {
    $("state").textContent = "Searching…";
    const found = query ? await search(OWN, query, text => { $("state").textContent = text; }, () => mine === turn) : null;
    if (mine !== turn) return;
    has = found;
    asked = query;
  }
  if (mine !== turn) return;
  const [ol, or, change, benchmark] = ["ol", "or", "change", "b"].map(name => field(name).value);
  const min = parseInt(field("min").value), max = parseInt(field("max").value);
  const kept = [];
  index.rows.forEach(([problem], row) => {
    if (has && !has[row]) return;
    if (benchmark && index.benchmarks[index.problems[problem][0]][0] !== benchmark) return;
    const key = keyOf(index, row), [l, r] = sides.map(s => at(s, key));
    if (ol && (!l || l.outcome !== ol) || or && (!r || r.outcome !== or)) return;
    if (change && (!l || !r || !CHANGES[change](l, r))) return;
    if (min >= 0 && !(r && r.tokens >= min) || max >= 0 && !(r && r.tokens <= max)) return;
    kept.push({row, left: l, right: r});
  });
  const tokens = (a, none) => (a ? a.tokens : none);
  const orders = {
    long: k => -tokens(k.right, -1), short: k => tokens(k.right, 1e12), hard: k => rightOf(k.row),
    longer: k => (k.left && k.right ? k.left.tokens - k.right.tokens : 1e12),
  };
  const order = orders[field("sort").value];
  if (order) kept.sort((a, b) => order(a) - order(b) || a.row - b.row);
  rows = kept;
  const right = name => kept.filter(k => k[name] && k[name].outcome === "correct").length;
  $("state").textContent = `${kept.length.toLocaleString("en")} of ${index.rows.length.toLocaleString("en")} answers; right: `
    + `${right("left")} at ${place(sides[0])}, ${right("right")} at ${place(sides[1])}.`;
  Object.assign(document.body.dataset, {milliseconds: Math.round(performance.now() - started), query});
  $("list").scrollTop = 0;
  draw();
};

// ---- The list: only the rows in sight are in the page.
const HEIGHT = 46;
const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const sign = (outcome, title) => {
  const known = OUTCOMES.find(o => o.key === outcome);
  const made = element("span", `sign ${outcome || "none"}`, known ? known.sign : "·");
  made.title = title + (known ? outcome.replace("_", " ") : "no answer yet");
  return made;
};
let pressed = false, late = false;  // a row that is drawn anew while it is pressed loses its click
const draw = () => {
  late = pressed;
  if (pressed) return;
  const list = $("list"), box = $("rows"), index = runs[OWN], from = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 5);
  const until = Math.min(rows.length, from + Math.ceil(list.clientHeight / HEIGHT) + 10);
  box.style.height = `${rows.length * HEIGHT}px`;
  const sides = ["left", "right"].map(side), shown = [];
  for (let i = from; i < until; i++) {
    const {row} = rows[i], [problem, sample] = index.rows[row], [benchmark, task, heading] = index.problems[problem];
    const made = element("div", "row");
    made.id = `row${row}`;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", row === open);
    made.style.top = `${i * HEIGHT}px`;
    const signs = element("span", "signs");
    index.steps.forEach(step => {
      const digit = index.outcome[step][row], one = sign((OUTCOMES[digit] || {}).key, `step ${step}: `);
      if (sides.some(s => s.run === OWN && s.step === String(step))) one.classList.add("side");
      signs.append(one);
    });
    const name = task.startsWith(index.benchmarks[benchmark][0]) ? task : `${index.benchmarks[benchmark][1]} ${task}`;
    const line = element("div", "line");
    line.append(element("span", "task", name + (sample ? `, sample ${sample}` : "")), signs);
    made.append(line, element("div", "heading", heading || " "));
    made.onclick = () => show(row, true);
    shown.push(made);
  }
  box.replaceChildren(...shown);
  if (rows.length === 0) box.append(element("p", "row", "No answer is left: clear a filter."));
};
$("list").addEventListener("scroll", () => requestAnimationFrame(draw));
$("list").addEventListener("pointerdown", event => { pressed = event.target.closest(".row") !== null; });
["pointerup", "pointercancel"].forEach(name => addEventListener(name, () => {
  pressed = false;
  if (late) setTimeout(draw);  // after the click
}));
addEventListener("resize", () => requestAnimationFrame(draw));

// ---- The open answer.
const rich = (box, text) => {  // code highlighted, formulas set, the rest as it is
  text.split(/(^[ \t]*```[^\n]*\n[\s\S]*?(?:^[ \t]*```[ \t]*$|$(?![\s\S])))/m).forEach((part, i) => {
    if (!part) return;
    if (i % 2 === 0) { box.append(element("span", "prose", part)); return; }
    const [, language, code] = part.match(/^[ \t]*```([^\n]*)\n([\s\S]*?)(?:\n?[ \t]*```[ \t]*)?$/);
    const pre = element("pre"), inner = element("code", "", code);
    const known = language.trim().split(/\s/)[0].toLowerCase() || "python";
    if (hljs.getLanguage(known)) inner.innerHTML = hljs.highlight(code, {language: known, ignoreIllegals: true}).value;
    pre.append(inner);
    box.append(pre);
  });
  box.querySelectorAll(".prose").forEach(prose => renderMathInElement(prose, {
    delimiters: [{left: "$$", right: "$$", display: true}, {left: "\\[", right: "\\]", display: true},
                 {left: "\\(", right: "\\)", display: false}, {left: "$", right: "$", display: false}],
    output: "mathml", throwOnError: false, strict: false, trust: false, maxExpand: 200,
  }));
};
const body = text => {
  const box = element("div", "text"), end = text.indexOf("</think>");
  let rest = text;
  if (end >= 0 || /^\s*<think>/.test(text)) {
    const thinking = (end >= 0 ? text.slice(0, end) : text).replace(/^\s*<think>/, "");
    const fold = element("details"), inner = element("div");
    fold.append(element("summary", "", `thinking, ${thinking.length.toLocaleString("en")} characters${end < 0 ? ", cut off" : ""}`), inner);
    const fill = () => { if (fold.open && !inner.firstChild) { raw() ? inner.textContent = thinking : rich(inner, thinking); mark(); } };
    fold.addEventListener("toggle", fill);
    fold.open = parsed(asked || "").words.some(word => thinking.toLowerCase().includes(word));
    box.append(fold);
    rest = end >= 0 ? text.slice(end + "</think>".length).trimStart() : "";
  }
  if (raw()) box.append(rest); else rich(box, rest);
  return box;
};
const raw = () => document.body.dataset.raw === "yes";
const mark = () => {  // what was searched for
  if (!CSS.highlights) return;
  const {words, phrases} = parsed(asked || ""), wanted = [...phrases, ...words], ranges = [];
  const walker = document.createTreeWalker($("detail"), NodeFilter.SHOW_TEXT);
  while (wanted.length && walker.nextNode() && ranges.length < 2000) {
    const node = walker.currentNode, text = node.data.toLowerCase();
    wanted.forEach(word => {
      for (let at = text.indexOf(word); at >= 0 && at + word.length <= node.length; at = text.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        ranges.push(range);
      }
    });
  }
  CSS.highlights.set("found", new Highlight(...ranges));
};
const column = async (where, key) => {
  const section = element("section"), row = runs[where.run].rowOf.get(key);
  const found = row === undefined ? null : await textsOf(where.run, row);
  const answer = found && (found.answers[JSON.parse(key)[2]] || {})[where.step];
  section.append(element("h3", "", place(where)));
  if (!answer) { section.append(element("p", "missing", "There is no answer here yet.")); return section; }
  section.firstChild.prepend(sign(answer.outcome, ""), " ");
  section.firstChild.append(`: ${answer.outcome.replace("_", " ")}`);
  const facts = [`${answer.completion_tokens.toLocaleString("en")} tokens`, `ended by ${answer.finish_reason || "an error"}`];
  if (found.gold) facts.push(answer.answer ? `answer ${answer.answer}` : "no answer found");
  if (answer.detail) facts.push(answer.detail);
  [["lenient_outcome", "lenient reading"], ["second_outcome", "second grader"]].forEach(([name, words]) => {
    if (answer[name] && answer[name] !== answer.outcome) facts.push(`${words}: ${answer[name].replace("_", " ")}`);
  });
  facts.push(`${answer.seconds} s`, answer.engine, `grader ${answer.grader}`);
  section.append(element("p", "facts", facts.filter(Boolean).join(" · ")), body(answer.completion));
  return section;
};
const show = async (row, byHand = false) => {
  const index = runs[OWN], key = keyOf(index, row), [benchmark, task, sample] = JSON.parse(key);
  open = row;
  remember();
  draw();
  const [found, ...columns] = await Promise.all([textsOf(OWN, row), ...["left", "right"].map(name => column(side(name), key))]);
  if (open !== row) return;
  const tools = element("div", "tools"), link = element("button", "", "copy link"), plain = element("button", "", raw() ? "formatted text" : "plain text");
  link.onclick = async () => {
    await navigator.clipboard.writeText(location.href).catch(() => prompt("The link", location.href));
    link.textContent = "copied";
  };
  plain.onclick = () => { document.body.dataset.raw = raw() ? "" : "yes"; show(row); };
  const step = (text, by) => { const made = element("button", "", text); made.onclick = () => move(by); return made; };
  tools.append(step("previous (k)", -1), step("next (j)", 1), link, plain);
  const problem = element("div", "text problem");
  if (raw()) problem.textContent = found.problem; else rich(problem, found.problem || "The problem is not known here.");
  const parts = [element("h2", "", `${task}${sample ? `, sample ${sample}` : ""}`), tools, problem];
  if (found.gold) {
    const gold = element("p", "facts gold", "Right answer: ");
    gold.append(element("code", "", found.gold));
    parts.push(gold);
  }
  if (found.tests) {
    const tests = element("details"), pre = element("pre", "", found.tests);
    tests.append(element("summary", "", "tests"), pre);
    parts.push(tests);
  }
  const pair = element("div", "pair");
  pair.append(...columns);
  $("detail").replaceChildren(...parts, pair);
  $("detail").scrollTop = 0;
  if (byHand && matchMedia("(max-width: 60rem)").matches) $("detail").scrollIntoView();
  mark();
};
const move = by => {
  const now = rows.findIndex(k => k.row === open), next = now < 0 ? 0 : now + by;
  if (!rows[next]) return;
  const list = $("list"), top = next * HEIGHT;
  if (top < list.scrollTop || top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
  show(rows[next].row);
};
addEventListener("keydown", event => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const by = {j: 1, k: -1, ArrowDown: event.target === $("list") ? 1 : 0, ArrowUp: event.target === $("list") ? -1 : 0}[event.key];
  if (by) { event.preventDefault(); move(by); }
  if (event.key === "/") { event.preventDefault(); field("q").focus(); }
});

// ---- Address: all that decides what is seen, so that a link shows it again.
const NAMES = ["q", "b", "left", "right", "ol", "or", "change", "min", "max", "sort"];
const remember = () => {
  const values = new URLSearchParams();
  NAMES.forEach(name => { if (field(name).value) values.set(name, field(name).value); });
  if (open !== null) values.set("answer", keyOf(runs[OWN], open));
  history.replaceState(null, "", `#${values}`);
};
const recall = () => {
  const values = new URLSearchParams(location.hash.slice(1));
  NAMES.forEach(name => {
    const value = values.get(name);
    if (value === null) { if (!["left", "right"].includes(name)) field(name).value = ""; return; }
    if (field(name).tagName !== "SELECT" || [...field(name).options].some(o => o.value === value)) field(name).value = value;
  });
  return values.get("answer");
};
const changed = async () => { remember(); await filtered(); if (open !== null) show(open); };
field("q").addEventListener("focus", () => wordIndex(OWN), {once: true});  // while the words are typed
let later;
form.addEventListener("input", event => { clearTimeout(later); later = setTimeout(changed, event.target.name === "q" ? 200 : 0); });
form.addEventListener("reset", () => setTimeout(() => { choose(); changed(); }));
addEventListener("hashchange", async () => { const key = recall(); await filtered(); if (key) show(runs[OWN].rowOf.get(key)); });
$("csv").onclick = () => {
  const quoted = value => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const index = runs[OWN], sides = ["left", "right"], read = a => (a ? [a.outcome, a.lenient, a.second, a.tokens, a.answer] : ["", "", "", "", ""]);
  const head = ["benchmark", "task_id", "sample", ...sides.flatMap(s => ["outcome", "lenient_outcome", "second_outcome", "tokens", "answer"].map(n => `${s}_${n}`))];
  const lines = rows.map(k => [...JSON.parse(keyOf(index, k.row)), ...read(k.left), ...read(k.right)]);
  const text = [head, ...lines].map(line => line.map(value => quoted(value ?? "")).join(",")).join("\n");
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text + "\n"], {type: "text/csv"}));
  link.download = `answers_${OWN}.csv`;
  link.click();
};

// ---- Start.
const choose = () => {
  const {steps} = runs[OWN];
  field("left").value = JSON.stringify([OWN, steps[0]]);
  field("right").value = JSON.stringify([OWN, steps.at(-1)]);
};
const start = async () => {
  const index = await load(OWN);
  OUTCOMES.forEach(({key, sign}) => ["ol", "or"].forEach(name => field(name).append(option(key, `${sign} ${key.replace("_", " ")}`))));
  index.benchmarks.forEach(([key, name]) => field("b").append(option(key, name)));
  const offer = (run, steps) => ["left", "right"].forEach(name => {
    const group = element("optgroup");
    group.label = run;
    group.append(...steps.map(step => option(JSON.stringify([run, step]), place({run, step: String(step)}))));
    field(name).append(group);
  });
  offer(OWN, index.steps);
  choose();
  const again = async () => {
    const row = runs[OWN].rowOf.get(recall());
    await filtered();
    if (row !== undefined) await show(row);
  };
  await again();
  // The first search would wait for the index: it is read as soon as there is nothing else to do.
  (window.requestIdleCallback || (then => setTimeout(then, 200)))(() => wordIndex(OWN).catch(() => {}));
  const names = await script("runs", RUNS).catch(() => []), linked = location.hash;
  const others = await Promise.all(names.filter(name => name !== OWN).map(name => load(name).then(found => [name, found.steps], () => null)));
  others.filter(Boolean).forEach(([name, steps]) => offer(name, steps));
  if (linked.length > 1 && linked === location.hash) await again();  // it may name one of these
  document.body.dataset.ready = "yes";
};
start().catch(error => { $("state").textContent = `The list cannot be read: ${error.message} is missing. Keep the folder answers beside this page.`; });
