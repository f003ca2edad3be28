/* JupyterLab shows HTML files without their scripts. So a notebook's link to playground.html opens
   the playground beside this file in a new tab: JupyterLab serves both.

   This is a prebuilt extension of JupyterLab. It is written by hand, since it needs none of JupyterLab's modules. */
(() => {
  "use strict";
  const playground = new URL("playground.html", document.currentScript.src);

  function follow(event) {
    const link = event.target.closest?.("a[href]");
    if (!link?.pathname.endsWith("/playground.html") || link.origin !== playground.origin) return;
    event.preventDefault();
    event.stopPropagation();
    window.open(new URL(link.hash, playground), "_blank");
  }

  const plugin = {
    id: "patchcore-edu:links",
    description: "Opens the playground from the course's notebooks.",
    autoStart: true,
    // In the capture phase: before JupyterLab's own listener, which would open the file.
    activate: () => document.addEventListener("click", follow, { capture: true }),
  };
  (window._JUPYTERLAB ??= {})["patchcore-edu"] = { init: () => {}, get: async () => () => plugin };
})();
