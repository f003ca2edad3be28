// The figure of an explorer with its caption, formula and table of numbers.

// "N_3^(0, 12)" becomes N with a subscript 3 and a superscript (0, 12).
export function typeset(text) {
  return text.split(/(_[\p{L}\p{N}*]+|\^\([^)]*\))/u).map((part) => {
    if (!/^(_.|\^\()/u.test(part)) return part;
    const node = document.createElement(part[0] === "_" ? "sub" : "sup");
    node.textContent = part.slice(1);
    return node;
  });
}

function element(tag, name, attributes = {}) {
  const node = document.createElement(tag);
  node.className = name;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function render({ model, el }) {
  const caption = element("p", "patchcore-caption", { role: "status", "aria-live": "polite" });
  const formula = element("p", "patchcore-formula");
  const figures = element("div", "patchcore-figures");
  const table = element("table", "patchcore-numbers");
  el.classList.add("patchcore-view");
  el.append(caption, formula, figures, table);
  let shown = [];
  const update = () => {
    const pngs = model.get("pngs");
    while (figures.childElementCount > pngs.length) figures.lastElementChild.remove();
    for (const [i, png] of pngs.entries()) {
      const image = figures.children[i] ?? figures.appendChild(element("img", "patchcore-figure"));
      image.alt = i === 0 ? model.get("caption") : "";
      if (png === shown[i]) continue;
      const url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
      image.onload = image.onerror = () => URL.revokeObjectURL(url);
      image.src = url;
    }
    shown = pngs;
    caption.replaceChildren(...typeset(model.get("caption")));
    formula.replaceChildren(...typeset(model.get("formula")));
    table.replaceChildren(
      ...model.get("numbers").map(([label, text]) => {
        const row = element("tr", "");
        const head = element("th", "", { scope: "row" });
        const cell = element("td", "");
        head.append(...typeset(label));
        cell.append(...typeset(text));
        row.append(head, cell);
        return row;
      }),
    );
  };
  // Keys move sliders and the canvas. A notebook would use them as shortcuts: arrows in Notebook 7, letters everywhere.
  const keep = ({ target, ctrlKey, metaKey, altKey, shiftKey }) => {
    if (!target.closest?.(".patchcore-explorer")) return;
    target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey || altKey || shiftKey));
  };
  window.addEventListener("keydown", keep, true);
  model.on("change", update);
  update();
  return () => {
    window.removeEventListener("keydown", keep, true);
    model.off("change", update);
  };
}

export default { render };
