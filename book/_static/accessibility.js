/* What the theme leaves undone for readers with a keyboard or a screen reader; on every page. */
document.addEventListener("DOMContentLoaded", () => {
  const all = (selector) => document.querySelectorAll(selector);

  // The arrow that unfolds a chapter in the sidebar has no name.
  for (const summary of all(".bd-sidebar-primary li > details > summary")) {
    const chapter = summary.closest("li").querySelector("a").textContent.trim();
    summary.setAttribute("aria-label", `Sections of ${chapter}`);
  }
  // The search button is named "Search", which hides the keys it shows; its text says both.
  for (const button of all(".search-button-field")) button.removeAttribute("aria-label");
  // The sidebar, with the logo on top, is part of no landmark.
  for (const sidebar of all(".bd-sidebar-primary")) {
    sidebar.setAttribute("role", "region");
    sidebar.setAttribute("aria-label", "Book");
  }
  // A table that scrolls sideways can be reached with the keyboard.
  for (const table of all(".pst-scrollable-table-container")) table.tabIndex = 0;
  // The box of a task list takes the text beside it as its name.
  for (const box of all("input.task-list-item-checkbox")) {
    box.setAttribute("aria-label", box.parentElement.textContent.trim());
  }
  // The theme lets the keyboard reach code that scrolls, but looks for it on a resize only.
  const lookAgain = () => window.dispatchEvent(new Event("resize"));
  document.addEventListener("toggle", lookAgain, true);
  for (const title of all(".dropdown > .admonition-title")) {
    title.addEventListener("click", lookAgain);
  }
  // A long name in a table may break after a dot, a bracket or an underscore.
  for (const part of all(".bd-article :is(td, th) code .pre")) {
    if (part.textContent.length < 16 || part.children.length) continue;
    const pieces = part.textContent.split(/(?<=[.(,=_/])(?=\w)/);
    part.replaceWith(
      ...pieces.flatMap((piece, i) => {
        const span = part.cloneNode();
        span.textContent = piece;
        return i ? [document.createElement("wbr"), span] : [span];
      }),
    );
  }
  // A formula in a sentence that is wider than the page scrolls, also with the keyboard.
  const width = (element) => element.getBoundingClientRect().width;
  const reachFormulas = () => {
    for (const math of all("span.math:has(mjx-container)")) {
      const wide = width(math.querySelector("mjx-container")) > width(math) + 1;
      math.classList.toggle("too-wide", wide);
      if (wide) math.tabIndex = 0;
      else math.removeAttribute("tabindex");
    }
    for (const box of all("div.math mjx-container, .pst-scrollable-table-container")) {
      box.classList.toggle("too-wide", box.scrollWidth > box.clientWidth + 1);
    }
  };
  window.addEventListener("resize", reachFormulas);
  document.addEventListener("toggle", reachFormulas, true);
  window.addEventListener("load", () => window.MathJax?.startup?.promise.then(reachFormulas));
  // The list of references claims to be a list but holds no list items.
  for (const list of all(".citation-list[role], .citation[role]")) list.removeAttribute("role");
});
