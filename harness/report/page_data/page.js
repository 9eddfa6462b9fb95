"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, where = document) => [...where.querySelectorAll(selector)];
  root.classList.add("js");

  // Light or dark: as in the system, until the button is used.
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const nameTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
  };
  const remembered = (change) => {
    try { return change(window.localStorage); } catch { return null; }  // May be denied to a page from disk.
  };
  root.dataset.theme = remembered((store) => store.getItem("hear-byola-theme")) || "";
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered((store) => store.setItem("hear-byola-theme", root.dataset.theme));
    nameTheme();
  });
  dark.addEventListener("change", nameTheme);
  nameTheme();

  // The table: sorting.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (column === 0) return row.dataset.model.toLowerCase();
    return "value" in cell.dataset ? Number(cell.dataset.value) : null;
  };
  const isPartial = (row, column) => "partial" in row.cells[column].dataset;
  const sort = (table, column, direction, baselinesFirst = false) => {
    const sign = direction === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      if (baselinesFirst && a.dataset.baseline !== b.dataset.baseline) {
        return b.dataset.baseline - a.dataset.baseline;
      }
      const [x, y] = [valueOf(a, column), valueOf(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      // Means over fewer tasks come last, whatever the direction.
      const partial = isPartial(a, column) - isPartial(b, column);
      if (partial) return partial;
      return x < y ? -sign : x > y ? sign : 0;
    });
    body.append(...rows);
    all("thead th", table).forEach((head, place) => {
      const sorted = place === column && !baselinesFirst;
      head.setAttribute("aria-sort", sorted ? direction : "none");
    });
  };
  const sortedColumn = (table) => {
    const heads = all("thead th", table);
    const place = heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
    return place < 0 ? [1, "descending", true] : [place, heads[place].getAttribute("aria-sort")];
  };
  for (const table of all("table.scores")) {
    all("thead th", table).forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        // The first click puts the best first, the second the worst.
        const first = column === 0 || head.dataset.lower === "1" ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        sort(table, column, head.getAttribute("aria-sort") === first ? other : first);
      });
    });
  }

  const element = (name, text, className = "") =>
    Object.assign(document.createElement(name), { textContent: text, className });
  const fillMean = (cell, mean, isBest, part) => {
    delete cell.dataset.value;
    delete cell.dataset.partial;
    cell.classList.toggle("best", isBest);
    if (mean === null) return cell.replaceChildren("\u2013");
    cell.dataset.value = mean;
    const text = mean.toFixed(3);
    cell.replaceChildren(
      ...(isBest ? [element("strong", text), element("span", " best", "unseen")] : [text]));
    if (part) {
      cell.dataset.partial = "";
      cell.append(element("small", part));
    }
  };

  // Means are over the tasks that are shown. Means of domains need more than one domain.
  const average = (table, place, domain) => {
    const heads = all("thead th", table);
    const own = (head) => !domain || head.dataset.domain === domain;
    const counted = heads
      .map((head, column) => [head, column])
      .filter(([head]) => head.dataset.averaged === "1" && !head.hidden)
      .filter(([head]) => own(head))
      .map(([, column]) => column);
    const every = heads.filter((head) => head.dataset.averaged === "1" && !head.hidden);
    const noun = counted.length === 1 ? "task" : "tasks";
    heads[place].querySelector(".sub").textContent = `${counted.length} ${noun}`;
    heads[place].hidden = domain !== "" && (!counted.length || counted.length === every.length);
    const rows = [...table.tBodies[0].rows].map((row) =>
      [row, counted.map((column) => valueOf(row, column)).filter((v) => v !== null)]);
    const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const isWhole = (values) => values.length > 0 && values.length === counted.length;
    const equal = (value) => value.toFixed(9);  // As EQUAL_DIGITS of harness/results/frames.py.
    const whole = rows.filter(([, values]) => isWhole(values)).map(([, values]) => meanOf(values));
    const best = whole.length > 1 ? equal(Math.max(...whole)) : null;
    for (const [row, values] of rows) {
      const cell = row.cells[place];
      cell.hidden = heads[place].hidden;
      fillMean(cell, values.length ? meanOf(values) : null,
        isWhole(values) && equal(meanOf(values)) === best,
        isWhole(values) ? "" : `${values.length} of ${counted.length}`);
    }
  };

  // Filters: protocol, suite, domain, model.
  const form = document.getElementById("filters");
  const chosen = () => Object.fromEntries(new FormData(form));
  const apply = () => {
    const { protocol, suite, domain, model } = chosen();
    const wanted = model.trim().toLowerCase();
    const kept = (data) => (!suite || data.suite === suite) && (!domain || data.domain === domain);
    for (const part of all(".of-protocol")) part.hidden = part.dataset.protocol !== protocol;
    for (const task of all(".task")) {
      const none = all(".of-protocol", task).every((part) => part.hidden);
      task.hidden = !kept(task.dataset) || none;
    }
    for (const table of all("table.scores")) {
      const heads = all("thead th", table);
      const tasks = heads.filter((head) => "task" in head.dataset);
      heads.forEach((head, column) => {
        if (!tasks.includes(head)) return;
        head.hidden = !kept(head.dataset);
        for (const row of table.tBodies[0].rows) row.cells[column].hidden = head.hidden;
      });
      for (const row of table.tBodies[0].rows) {
        row.hidden = !row.dataset.model.toLowerCase().includes(wanted);
      }
      heads.forEach((head, column) => {
        if ("mean" in head.dataset) average(table, column, head.dataset.mean);
      });
      const sorted = sortedColumn(table);
      if ("mean" in heads[sorted[0]].dataset) sort(table, ...sorted);
      if (table.dataset.protocol === protocol) {
        const rows = [...table.tBodies[0].rows];
        const shown = rows.filter((row) => !row.hidden).length;
        const columns = tasks.filter((head) => !head.hidden).length;
        form.querySelector("output").textContent =
          `${shown} of ${rows.length} models, ${columns} of ${tasks.length} tasks`;
      }
    }
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();

  // A wide table does not fit on paper, so it is printed in parts with the same content.
  const column = (head) => head.dataset.task ?? `mean ${head.dataset.mean ?? ""}`;
  const copy = (table, part) => {
    const own = all("thead th", table);
    const places = all("thead th", part).map((head, place) =>
      place && own.findIndex((each, other) => other && column(each) === column(head)));
    const copied = (row) => {
      const to = row.cloneNode(false);
      to.append(...places.map((place) => row.cells[place].cloneNode(true)));
      return to;
    };
    part.tHead.replaceChildren(copied(table.tHead.rows[0]));
    part.tBodies[0].replaceChildren(...[...table.tBodies[0].rows].map(copied));
    part.hidden = all("thead th", part).slice(1).every((head) => head.hidden);
  };
  window.addEventListener("beforeprint", () => {
    for (const table of all("table.scores")) {
      for (const part of all(".part", table.closest(".of-protocol"))) copy(table, part);
    }
  });

  // Shadows at the edges of a table that can be scrolled further.
  for (const scroller of all(".scroller")) {
    const inner = scroller.firstElementChild;
    const mark = () => {
      const right = inner.scrollWidth - inner.clientWidth - inner.scrollLeft;
      const below = inner.scrollHeight - inner.clientHeight - inner.scrollTop;
      scroller.classList.toggle("more-left", inner.scrollLeft > 1);
      scroller.classList.toggle("more-right", right > 1);
      scroller.classList.toggle("more-below", below > 1);
    };
    inner.addEventListener("scroll", mark, { passive: true });
    const watch = new ResizeObserver(mark);
    watch.observe(inner);
    watch.observe(inner.firstElementChild);
  }

  // Tabs of models; without a script, models are below each other.
  all(".tabs").forEach((group, number) => {
    const tabs = all(":scope > .tab", group);
    if (tabs.length < 2) { group.classList.add("single"); }
    const list = document.createElement("div");
    list.className = "tablist";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", group.dataset.label);
    const show = (place, focus) => {
      tabs.forEach((tab, other) => {
        tab.hidden = other !== place;
        list.children[other].setAttribute("aria-selected", String(other === place));
        list.children[other].tabIndex = other === place ? 0 : -1;
      });
      if (focus) list.children[place].focus();
    };
    tabs.forEach((tab, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `tab-${number}-${place}`;
      tab.id = `panel-${number}-${place}`;
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", tab.id);
      button.textContent = tab.dataset.tab;
      tab.setAttribute("role", "tabpanel");
      tab.setAttribute("aria-labelledby", button.id);
      button.addEventListener("click", () => show(place, false));
      list.append(button);
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const place = tabs.findIndex((tab) => !tab.hidden);
      const end = { Home: 0, End: tabs.length - 1 }[event.key];
      if (step === undefined && end === undefined) return;
      event.preventDefault();
      show(end ?? (place + step + tabs.length) % tabs.length, true);
    });
    group.prepend(list);
    show(0, false);
  });

  // Open a task when a link to it is followed, and play one recording at a time.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", open);
  open();
  document.addEventListener("play", (event) => {
    for (const player of all("audio")) if (player !== event.target) player.pause();
  }, true);
})();
