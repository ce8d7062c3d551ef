"use strict";
(() => {
  const root = document.documentElement;
  const remembered = () => { try { return localStorage.getItem("steelyard-theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("steelyard-theme", theme); } catch { /* not ours to keep */ } };
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const theme = remembered();
  if (theme === "dark" || theme === "light") root.dataset.theme = theme; // before the first paint

  function themeButton() {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = dark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Use the ${dark() ? "light" : "dark"} theme`);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      remember(root.dataset.theme);
      label();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    label();
  }

  const order = (a, b) => {
    const [x, y] = [parseFloat(a), parseFloat(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b);
    if (Number.isNaN(x)) return 1; // what is unknown comes last
    if (Number.isNaN(y)) return -1;
    return x - y;
  };

  function sortable(table) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = header.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const now = header.getAttribute("aria-sort");
        const rising = now ? now === "descending" : header.dataset.first !== "descending";
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        for (const body of table.tBodies) {
          const rows = [...body.rows].filter((row) => !row.classList.contains("divider"));
          const known = (row) => key(row) !== "";
          rows.sort((a, b) => (known(b) - known(a)) || (rising ? 1 : -1) * order(key(a), key(b)));
          body.append(...rows);
        }
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    themeButton();
    document.querySelectorAll("table.sortable").forEach(sortable);
  });
  // A printed page has no use for closed sections.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
})();
