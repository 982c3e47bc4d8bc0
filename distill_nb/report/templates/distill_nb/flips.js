/* The onchange of both selections of a view, which decide together; the page needs no script of its own for it. */
const view = this.closest('.flips');
const [benchmark, kind] = [...view.querySelectorAll('select')].map(select => select.value);
let shown = 0;
view.querySelectorAll('details').forEach(flip => {
  flip.hidden = (benchmark && flip.dataset.benchmark !== benchmark) || (kind && flip.dataset.kind !== kind);
  shown += !flip.hidden;
});
view.querySelector('output').textContent = shown + ' shown';
