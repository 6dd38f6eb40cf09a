// Filters, sorting and the long texts of rows.html. Texts are set as text, never as HTML.
"use strict";
(() => {
  const table = document.getElementById("rows");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const form = document.getElementById("filters");
  const count = document.getElementById("count");
  const titles = JSON.parse(document.getElementById("titles").textContent);
  const packed = document.getElementById("texts");
  let texts = null;

  const element = (name, text, properties) => {
    const made = Object.assign(document.createElement(name), properties);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  async function unpack() {
    if (!packed || !("DecompressionStream" in window)) return null;
    const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function words(place) {
    const [prompt, reference, answers] = texts[place];
    return [prompt, reference, ...answers.flat()].join("\n").toLowerCase();
  }

  function fits(row) {
    const wanted = Object.fromEntries(new FormData(form));
    const outcome = row.dataset.outcome;
    const only = wanted.outcome?.match(/^only(\d+)$/);
    const unread = wanted.outcome?.match(/^unread(\d+)$/);
    if (wanted.symbol && row.cells[1].textContent !== wanted.symbol) return false;
    if (wanted.week && row.cells[0].textContent !== wanted.week) return false;
    // A model that was not asked is neither right nor wrong.
    if (outcome.includes(".") && (only || ["disagree", "wrong"].includes(wanted.outcome))) return false;
    if (wanted.outcome === "disagree" && new Set(outcome).size < 2) return false;
    if (wanted.outcome === "right" && /[^1]/.test(outcome)) return false;
    if (wanted.outcome === "wrong" && outcome.includes("1")) return false;
    if (only && [...outcome].some((c, i) => (c === "1") !== (i === Number(only[1])))) return false;
    if (unread && outcome[Number(unread[1])] !== "-") return false;
    const sought = wanted.words?.trim().toLowerCase();
    return !sought || texts === null || words(Number(row.dataset.place)).includes(sought);
  }

  function filter() {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !fits(row);
      shown += row.hidden ? 0 : 1;
      if (row.opened) row.opened.hidden = row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  }

  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.order === undefined ? cell.textContent : Number(cell.dataset.order);
  }

  function sort(head, column) {
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[1].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      const order = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
      return sign * order || a.dataset.place - b.dataset.place;
    });
    for (const row of rows) {
      body.append(row);
      if (row.opened) body.append(row.opened);
    }
  }

  function open(row, button) {
    if (row.opened) {
      row.opened.remove();
      row.opened = null;
      button.setAttribute("aria-expanded", "false");
      return;
    }
    const [prompt, reference, answers] = texts[Number(row.dataset.place)];
    const cell = element("td", undefined, { colSpan: row.cells.length });
    const part = (title, text) => {
      if (!text) return;
      const section = element("section");
      section.append(element("h3", title), element("pre", text));
      cell.append(section);
    };
    answers.forEach(([tuned, base], i) => {
      part(`${titles[i]} answered`, tuned);
      part(`${titles[i]}, untuned, answered`, base);
    });
    part("Reference answer, written by somebody who knew the outcome", reference);
    part("What was asked", prompt);
    row.opened = element("tr", undefined, { className: "texts" });
    row.opened.append(cell);
    row.after(row.opened);
    button.setAttribute("aria-expanded", "true");
  }

  [...table.tHead.rows[1].cells].forEach((head, column) => {
    const button = element("button", head.textContent, { type: "button" });
    button.addEventListener("click", () => sort(head, column));
    head.replaceChildren(button);
  });

  unpack().then((found) => {
    texts = found;
    if (texts === null) {
      form.elements.words?.parentElement.remove();
    } else {
      table.tHead.rows[0].append(element("td"));
      table.tHead.rows[1].append(element("th", "texts", { scope: "col" }));
      for (const row of rows) {
        const name = `${row.cells[1].textContent}, week from ${row.cells[0].textContent}`;
        const button = element("button", "Read", { type: "button" });
        button.setAttribute("aria-label", `Read the texts of ${name}`);
        button.setAttribute("aria-expanded", "false");
        button.addEventListener("click", () => open(row, button));
        const cell = element("td");
        cell.append(button);
        row.append(cell);
      }
    }
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    form.hidden = false;
    filter();
  });
})();
