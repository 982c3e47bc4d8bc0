// Without scripts each cell's own "show code" still works, so the button appears only here.
const button = document.getElementById("all-code");
const folds = document.querySelectorAll("details.code");
button.hidden = folds.length === 0;
button.onclick = () => {
  const open = button.textContent.startsWith("show");
  folds.forEach(fold => { fold.open = open; });
  button.textContent = (open ? "hide" : "show") + " all code";
};
