// Made by tools/dashboard_page.ts.
/** table.js */
export const TABLE_JS: string = `/**
 * A table whose rows keep their elements, so that the focus and what is selected survive an update, and only what changed is written.
 */
import { make, say } from "./elements.js";
import { count } from "./format.js";

/** A cell: a text, or one with a class, or an element that is updated in place. */

/** A column. */

/** What a table is made of. */

/** A table in a section of the page. */
export class Table      {
           #options                   ;
           #body = make("tbody");
           #note                      ;
           #frame = make("div", "", { class: "frame" });
           #shown = new Map               ();
  #rows                 = [];

  constructor(options                   ) {
    this.#options = options;
    this.#note = make("p", options.empty, { class: "note" });
    const head = make("tr");
    for (const { title, number } of options.columns) {
      head.append(make("th", title, { scope: "col", ...(number ? { class: "number" } : {}) }));
    }
    if (options.actions || options.detail) head.append(make("th", "", { "aria-label": "Actions" }));
    const table = make("table");
    const top = make("thead");
    top.append(head);
    table.append(top, this.#body);
    this.#frame.append(table);
    this.#frame.hidden = true;
    options.place.append(this.#frame, this.#note);
  }

  /** The row of a key, as it was shown last. */
  row(key        )                  {
    return this.#rows.find((row) => this.#options.key(row) === key);
  }

  /** Shows these rows, of \`total\`. */
  show(rows                , total = rows.length)       {
    const { key, empty } = this.#options;
    this.#rows = rows;
    const left = new Set(this.#shown.keys());
    let before                   = this.#body.firstChild;
    for (const row of rows) {
      const id = key(row);
      left.delete(id);
      let shown = this.#shown.get(id);
      if (shown === undefined) this.#shown.set(id, shown = this.#make(id));
      this.#update(shown, row);
      if (shown.tr === before) before = before.nextSibling;
      else this.#body.insertBefore(shown.tr, before);
      if (shown.detail === undefined) continue;
      if (shown.detail === before) before = before.nextSibling;
      else this.#body.insertBefore(shown.detail, before);
    }
    for (const id of left) {
      const shown = this.#shown.get(id);
      shown?.tr.remove();
      shown?.detail?.remove();
      this.#shown.delete(id);
    }
    const more = total - rows.length;
    this.#frame.hidden = rows.length === 0;
    this.#note.hidden = rows.length > 0 && more === 0;
    say(this.#note, rows.length === 0 ? empty : \`\${count(more)} more are not shown\`);
  }

  /** Shows the same rows again, for their ages. */
  refresh()       {
    for (const row of this.#rows) {
      const shown = this.#shown.get(this.#options.key(row));
      if (shown !== undefined) this.#update(shown, row);
    }
  }

  #make(key        )        {
    const { columns, actions, detail } = this.#options;
    const tr = make("tr");
    const cells = columns.map(({ title, number, wide }) => {
      const name = [number ? "number" : "", wide ? "wide" : ""].join(" ").trim();
      const td = make("td", "", { "data-title": title, ...(name === "" ? {} : { class: name }) });
      const inner = make("span");
      td.append(inner);
      tr.append(td);
      return inner;
    });
    const shown        = { tr, cells };
    if (actions === undefined && detail === undefined) return shown;
    const last = make("td", "", { class: "actions" });
    if (detail !== undefined) last.append(this.#unfolding(shown, key, detail));
    last.append(...actions?.(key) ?? []);
    tr.append(last);
    return shown;
  }

  #unfolding(shown       , key        , detail                      )              {
    const toggle = make("button", "Show", { type: "button", "aria-expanded": "false" });
    toggle.addEventListener("click", () => {
      const row = this.row(key);
      const open = shown.detail === undefined && row !== undefined;
      toggle.setAttribute("aria-expanded", \`\${open}\`);
      say(toggle, open ? "Hide" : "Show");
      if (!open) {
        shown.detail?.remove();
        delete shown.detail;
        return;
      }
      const below = make("tr", "", { class: "detail" });
      const cell = make("td", "", { colspan: \`\${shown.tr.children.length}\` });
      cell.append(make("pre", detail(row), { tabindex: "0" }));
      below.append(cell);
      shown.tr.after(below);
      shown.detail = below;
    });
    return toggle;
  }

  #update({ cells }       , row     )       {
    const { columns } = this.#options;
    for (let i = 0; i < columns.length; i++) {
      const cell = columns[i].cell(row);
      const { text = "", tone = "", title = "", draw } = typeof cell === "string" ? { text: cell } : cell;
      const place = cells[i];
      if (draw !== undefined) {
        draw(place);
        continue;
      }
      say(place, text);
      if (place.className !== tone) place.className = tone;
      if (place.title !== title) place.title = title;
    }
  }
}
`;
