// The theme, the sections of this page, and the search. The theme comes first, before anything is drawn.
"use strict";

const stored = (value) => {
  try { // from file:// or in a private window there may be no storage
    if (value) localStorage.setItem("theme", value);
    return localStorage.getItem("theme");
  } catch { return value ?? null; }
};

const system = matchMedia("(prefers-color-scheme: dark)");
let theme = stored();

function paintTheme() {
  const dark = theme ? theme === "dark" : system.matches;
  document.getElementById("dark").media = dark ? "all" : "not all";
  const button = document.getElementById("theme");
  if (button) {
    button.textContent = dark ? "Light" : "Dark";
    button.ariaLabel = `Switch to the ${dark ? "light" : "dark"} theme`;
  }
}

paintTheme();
system.addEventListener("change", paintTheme);

const element = (name, text = "") => Object.assign(document.createElement(name), { textContent: text });

const plain = (text) => text.normalize("NFKC").toLowerCase();

// A section is [page, page's title, anchor, heading, text]; all words must occur, and those in a heading count more.
function search(query) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  if (!words.length) return { words, hits: [] };
  const hits = [];
  for (const [file, page, anchor, heading, text] of SECTIONS) {
    const title = plain(`${page} ${heading}`), body = plain(text);
    if (!words.every((word) => title.includes(word) || body.includes(word))) continue;
    const weight = words.reduce((sum, w) => sum + 8 * plain(heading).includes(w) + Math.min(5, body.split(w).length - 1), 0);
    hits.push({ href: anchor ? `${file}#${anchor}` : file, page, heading, text, weight });
  }
  return { words, hits: hits.sort((a, b) => b.weight - a.weight) };
}

function snippet(text, words) {
  const at = plain(text).indexOf(words.find((word) => plain(text).includes(word)) ?? "");
  const from = at < 50 ? 0 : text.indexOf(" ", at - 50) + 1;
  const piece = (from ? "… " : "") + text.slice(from, from + 170) + (from + 170 < text.length ? " …" : "");
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const small = element("small");
  piece.split(RegExp(`(${escaped.join("|")})`, "i")).forEach((part, i) => small.append(i % 2 ? element("mark", part) : part));
  return small;
}

const SHOWN = 20;

function show(query, found) {
  const { words, hits } = search(query);
  found.hidden = !words.length;
  found.replaceChildren(element("p", hits.length === 1 ? "1 section" : `${hits.length} sections`));
  for (const { href, page, heading, text } of hits.slice(0, SHOWN)) {
    const link = Object.assign(element("a"), { href });
    link.append(element("strong", heading === page ? page : `${page} › ${heading}`), snippet(text, words));
    link.addEventListener("click", () => { found.hidden = true; });
    found.append(link);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  paintTheme();
  document.getElementById("theme").addEventListener("click", () => {
    theme = document.getElementById("dark").media === "all" ? "light" : "dark";
    stored(theme);
    paintTheme();
  });

  for (const heading of document.querySelectorAll("main h2[id]")) {
    const link = element("a", [...heading.childNodes].filter((n) => n.className !== "anchor-link").map((n) => n.textContent).join(""));
    link.href = `#${heading.id}`;
    document.getElementById("sections").append(link);
  }

  const field = document.getElementById("search"), found = document.getElementById("found");
  field.addEventListener("input", () => show(field.value, found));
  field.addEventListener("focus", () => { if (field.value) show(field.value, found); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") found.querySelector("a")?.click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { found.hidden = true; field.blur(); }
    const typing = event.target.closest("input, textarea, [contenteditable]");
    if (event.key === "/" && !typing) { event.preventDefault(); field.focus(); }
    const links = [...found.querySelectorAll("a")], at = [field, ...links].indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && at >= 0 && !found.hidden) { event.preventDefault(); [field, ...links][at + step]?.focus(); }
  });
  document.addEventListener("click", (event) => { if (!event.target.closest("search")) found.hidden = true; });
});
