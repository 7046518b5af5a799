"""What makes the failure browser move: a script and a style that pages carry in themselves.

The script is part of the page's policy by its hash, so a page runs this text and no other.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
.failure-browser form { display: flex; flex-wrap: wrap; gap: .4em 1.2em; align-items: center }
.failure-browser form[hidden] { display: none }
.failure-browser input { width: 5em }
.failure-browser .rows { max-height: 34em; overflow: auto; margin: .6em 0 }
.failure-browser th { position: sticky; top: 0; background: #f2f2f2; z-index: 1 }
.failure-browser th button { border: 0; background: none; font: inherit; cursor: pointer }
.failure-browser th[aria-sort=ascending] button::after { content: " \\2191" }
.failure-browser th[aria-sort=descending] button::after { content: " \\2193" }
.failure-browser tr { cursor: pointer }
.failure-browser tr.chosen td { background: #cfe3f5 }
.failure-browser .open { border: 0; padding: 0; background: none; cursor: pointer }
.failure-browser .detail { display: flex; flex-wrap: wrap; gap: .5em; align-items: flex-end }
.failure-browser .detail p { flex-basis: 100%; margin: 0 }
.failure-browser figure { margin: 0 }
.failure-browser figure.chosen { outline: 3px solid #0072b2 }
"""

SCRIPT = """
(() => {
  const start = (box) => {
    box.dataset.ready = "yes";
    const form = box.querySelector("form"), body = box.querySelector("tbody");
    const heads = [...box.querySelectorAll("th")], detail = box.querySelector(".detail");
    const rows = [...body.rows];
    const value = (row, column) => row.querySelector(`td[data-column="${column}"]`).textContent;
    const fits = (row) => [...form.querySelectorAll("select, input")].every((field) => {
      if (field.value === "") return true;
      const found = value(row, field.name);
      if (field.tagName === "SELECT") return found === field.value;
      const [number, bound] = [Number(found), Number(field.value)];
      return field.dataset.bound === "least" ? number >= bound : number <= bound;
    });
    const filter = () => {
      let shown = 0;
      for (const row of rows) {
        row.hidden = !fits(row);
        shown += row.hidden ? 0 : 1;
      }
      form.querySelector("output").textContent = `${shown} of ${rows.length} frames`;
    };
    const sort = (head, column) => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const compare = (a, b) => {
        const [x, y] = [cell(a), cell(b)];
        const numbers = !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
        return numbers ? Number(x) - Number(y) : x.localeCompare(y);
      };
      const cell = (row) => row.cells[column].textContent;
      rows.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
      body.append(...rows);
    };
    const open = (row) => {
      for (const other of rows) other.classList.toggle("chosen", other === row);
      const said = document.createElement("p");
      said.textContent = `${row.dataset.key}: J&F ${value(row, "J&F")}, mostly ` +
        value(row, "kind");
      detail.replaceChildren(said);
      for (const set of ["A", "B"]) {
        const line = document.createElement("p");
        for (const frame of row.dataset.frames.split("\\t")) {
          const find = `figure[data-of="${CSS.escape(frame)}"][data-set="${set}"]`;
          const kept = box.querySelector(`.store ${find}`);
          if (!kept) continue;
          const copy = kept.cloneNode(true);
          copy.classList.toggle("chosen", frame === row.dataset.key);
          detail.append(copy);
        }
        detail.append(line);
      }
      if (!detail.querySelector("figure")) {
        said.textContent += "; its errors at full size are kept of the worst frames alone";
        const small = row.querySelector("img").cloneNode(true);
        small.width *= 3;
        small.removeAttribute("height");
        detail.append(small);
      }
    };
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    heads.forEach((head, column) => {
      if (column > 0) head.addEventListener("click", () => sort(head, column));
    });
    for (const row of rows) row.addEventListener("click", () => open(row));
    filter();
  };
  for (const box of document.querySelectorAll(".failure-browser:not([data-ready])")) start(box);
})();
"""


def script_hash() -> str:
    """The script's name in a Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
