/**
 * Makes tables whose rows keep their elements, so that the focus and the selection survive an update, and only
 * changes are written; and draws the small graphs in them.
 */
import type { Capped, ParkedView } from "../view.ts";
import type { Elements } from "./elements.ts";

/** A cell of a table: a text, a text with a class, or an element that is updated in place. */
interface Cell {
  readonly text?: string;
  /** CSS class of the text: `good`, `bad`, `warn`, `dim`. */
  readonly tone?: string;
  readonly title?: string;
  /** Draws a graph into the cell; called only if the numbers in `of` have changed. */
  readonly draw?: (place: HTMLElement) => void;
  readonly of?: unknown;
}

/** A column of a table: its title, a function that returns its cell for a row, and the CSS class of its cells. */
type Column<Row> = readonly [title: string, cell: (row: Row) => string | Cell, kind?: "number" | "wide"];

/** Options of a table. */
interface TableOptions<Row> {
  readonly place: HTMLElement;
  readonly columns: readonly Column<Row>[];
  readonly key: (row: Row) => string;
  readonly empty: string;
  /** Returns the buttons of a row; called once for each row. */
  readonly actions?: (key: string) => readonly HTMLElement[];
  /** Returns the text below a row, which the user can unfold; called when it is unfolded. */
  readonly detail?: (row: Row) => string | Promise<string>;
  /** Text of the button that unfolds a row. Default: `"Show"`. */
  readonly unfold?: string;
}

/** A table in a section of the page. */
export interface Table<Row> {
  /** Returns the row with this key, as it was last shown. */
  row(key: string): Row | undefined;
  /** Shows these rows in place of the present ones. */
  show(rows: readonly Row[] | Capped<Row>): void;
}

/**
 * Makes the functions for tables. The function's source text is embedded in the page's script, so it may use only its
 * parameters and browser globals.
 */
export function tableMaker({ button, filled, make, say, count }: Elements) {
  /**
   * Draws several lines over the same time into `place`, the oldest point first, each with its own class, scaled to
   * the greatest value of all. `label`: text for users who see no graphics.
   */
  function sparkline(place: HTMLElement, lines: readonly (readonly number[])[], label: string): void {
    let svg = place.firstElementChild as SVGSVGElement | null;
    if (svg === null) {
      svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("class", "spark");
      svg.setAttribute("role", "img");
      place.append(svg);
    }
    const most = Math.max(1e-9, ...lines.map((line) => Math.max(0, ...line.filter(Number.isFinite))));
    for (let i = 0; i < lines.length; i++) {
      let path = svg.children[i];
      if (path === undefined) {
        path = document.createElementNS(SVG, "path");
        path.setAttribute("class", `line${i}`);
        svg.append(path);
      }
      const d = pathOf(lines[i], most);
      if (path.getAttribute("d") !== d) path.setAttribute("d", d);
    }
    if (svg.getAttribute("aria-label") !== label) svg.setAttribute("aria-label", label);
  }

  /** Returns the SVG path of a line. The newest value is at the right end; a missing value is a gap. */
  function pathOf(values: readonly number[], most: number): string {
    let d = "";
    let pen = false;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (!Number.isFinite(value)) {
        pen = false;
        continue;
      }
      const x = WIDTH - (values.length - 1 - i) * (WIDTH / POINTS);
      const y = HEIGHT - 1 - (value / most) * (HEIGHT - 2);
      d += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = true;
    }
    return d;
  }

  /** Number of rows on one page of a table. */
  const PAGE = 50;
  /** Length of a cell's text, in characters, from which it is shortened. */
  const LONG = 120;
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 180;
  const HEIGHT = 28;
  /** Number of points of a graph: 15 minutes. */
  const POINTS = 90;

  interface Shown {
    readonly tr: HTMLTableRowElement;
    readonly cells: readonly HTMLElement[];
    /** Present content of each cell of a row, kept because reading it from the element takes longer. */
    readonly now: unknown[];
    detail?: HTMLElement;
  }

  /** Functions that show the rows of each table again. */
  const tables: (() => void)[] = [];

  /** Shows the rows of all tables again, to update the ages in them. */
  function refresh(): void {
    for (const again of tables) again();
  }

  /** Makes a table in a section. */
  function table<Row>(options: TableOptions<Row>): Table<Row> {
    const { place, columns, key: keyOf, empty, actions, detail, unfold = "Show" } = options;
    const body = make("tbody");
    const note = make("p", empty && "looking", { class: "note" }); // the note has this text until data have come
    // the frame can get the focus, because users without a mouse scroll the table with the keyboard
    const frame = make("div", "", { class: "frame", tabindex: "0", role: "group" });
    const shown = new Map<string, Shown>();
    const pager = make("p", "", { class: "bar" });
    const where = make("span", "", { class: "note", role: "status" });
    let all: readonly Row[] = [];
    let rows: readonly Row[] = [];
    let [total, page] = [0, 0];

    const head = make("tr");
    for (const [title, , kind] of columns) {
      head.append(make("th", title, { scope: "col", ...(kind === "number" ? { class: kind } : {}) }));
    }
    if (actions || detail) {
      head.append(filled(make("th", "", { scope: "col" }), make("span", "Actions", { class: "unseen" })));
    }
    frame.append(filled(make("table"), filled(make("thead"), head), body));
    frame.hidden = true;
    const turn = (by: number) => {
      page += by;
      draw();
      frame.scrollTop = 0;
    };
    frame.setAttribute("aria-label", place.querySelector("h2, h3")?.textContent ?? place.id);
    const [previous, next] = [button("Previous", () => turn(-1)), button("Next", () => turn(1))];
    pager.hidden = true;
    place.append(frame, filled(pager, previous, next, where), note);

    /** Draws the rows of the table's present page. */
    function draw(): void {
      const pages = Math.max(1, Math.ceil(all.length / PAGE));
      page = Math.min(Math.max(0, page), pages - 1);
      const first = page * PAGE;
      rows = all.slice(first, first + PAGE);
      pager.hidden = pages === 1;
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
      say(where, `${count(first + 1)} to ${count(first + rows.length)} of ${count(all.length)}`);
      const ids = new Set(rows.map(keyOf));
      // old rows are removed first; otherwise all others would have to be moved past them
      for (const [id, { tr, detail }] of shown) {
        if (ids.has(id)) continue;
        tr.remove();
        detail?.remove();
        shown.delete(id);
      }
      let before: ChildNode | null = body.firstChild;
      for (const row of rows) {
        const id = keyOf(row);
        let known = shown.get(id);
        if (known === undefined) shown.set(id, known = rowOf(id));
        update(known, row);
        for (const each of known.detail === undefined ? [known.tr] : [known.tr, known.detail]) {
          if (each === before) before = before.nextSibling;
          else body.insertBefore(each, before);
        }
      }
      const more = total - all.length;
      frame.hidden = rows.length === 0;
      note.hidden = rows.length > 0 && more === 0;
      say(note, rows.length === 0 ? empty : `${count(more)} more are not shown`);
    }

    /** Makes the elements of a row with this key. */
    function rowOf(key: string): Shown {
      const tr = make("tr");
      const cells = columns.map(([title, , kind]) => {
        const td = make("td", "", { "data-title": title, ...(kind === undefined ? {} : { class: kind }) });
        const inner = make("span");
        tr.append(filled(td, inner));
        return inner;
      });
      const made: Shown = { tr, cells, now: [] };
      if (actions === undefined && detail === undefined) return made;
      const last = make("td", "", { class: "actions" });
      if (detail !== undefined) last.append(unfolding(made, key, detail));
      last.append(...actions?.(key) ?? []);
      tr.append(last);
      return made;
    }

    function unfolding(of: Shown, key: string, detail: (row: Row) => string | Promise<string>): HTMLElement {
      const toggle = button(unfold, () => {
        const row = rowAt(key);
        const open = of.detail === undefined && row !== undefined;
        toggle.setAttribute("aria-expanded", `${open}`);
        say(toggle, open ? "Hide" : unfold);
        if (!open) {
          of.detail?.remove();
          delete of.detail;
          return;
        }
        const cell = make("td", "", { colspan: `${of.tr.children.length}` });
        const text = detail(row);
        const pre = make("pre", typeof text === "string" ? text : "reading", { tabindex: "0" });
        if (typeof text !== "string") {
          text.catch((error: Error) => error.message).then((read) => pre.textContent = read);
        }
        of.detail = filled(make("tr", "", { class: "detail" }), filled(cell, pre));
        of.tr.after(of.detail);
      }, { "aria-expanded": "false" });
      return toggle;
    }

    function update({ cells, now }: Shown, row: Row): void {
      for (let i = 0; i < columns.length; i++) {
        const [, cellOf, kind] = columns[i];
        const cell = cellOf(row);
        const { text = "", tone = "", title = "", draw, of } = typeof cell === "string" ? { text: cell } : cell;
        const [inner, has] = [cells[i], of ?? `${text}\n${tone}\n${title}`];
        if (now[i] === has) continue;
        now[i] = has;
        if (draw !== undefined) {
          draw(inner);
          continue;
        }
        say(inner, text);
        // only the beginning of a long id is visible until the cell has the focus
        const isLong = text.length > LONG && kind !== "wide";
        const name = isLong ? `${tone} long`.trim() : tone;
        if (inner.className !== name) inner.className = name;
        if (isLong) inner.tabIndex = 0;
        else inner.removeAttribute("tabindex");
        const hint = isLong && title === "" ? text : title;
        if (inner.title !== hint) inner.title = hint;
      }
    }

    function rowAt(key: string): Row | undefined {
      return rows.find((row) => keyOf(row) === key);
    }

    tables.push(() => {
      for (const row of rows) update(shown.get(keyOf(row))!, row); // `shown` has each of these rows: they were drawn
    });
    return {
      row: rowAt,
      show(view) {
        [all, total] = "shown" in view ? [view.shown, view.total] : [view, view.length];
        draw();
      },
    };
  }

  /** Returns a cell with a muted text. */
  function dim(text: string): Cell {
    return { text, tone: "dim" };
  }

  /** Returns a cell with a number that is a bad sign unless it is 0. */
  function counted(n: number, tone: "warn" | "bad"): Cell {
    return { text: count(n), tone: n > 0 ? tone : "" };
  }

  /** Returns a text with these names, and the number of names that are left out of `total`. */
  function named(names: readonly string[], total: number): string {
    return `${names.join(", ")}${total > names.length ? ` and ${count(total - names.length)} more` : ""}`;
  }

  /** The columns of a table that identify a message of a subscription. */
  const messageColumns: readonly Column<ParkedView>[] = [
    ["Subscription", ({ service, subscription }) => `${service}/${subscription}`],
    ["Contract", ({ contract }) => contract],
    ["Key", ({ key }) => key ?? "-"],
    ["Id", ({ id }) => dim(id)],
  ];

  /** Returns the failure of a message in one line: the error that the handler threw, without its place. */
  function failure({ code, error, cause }: ParkedView): string {
    return `${code}: ${/^(?!CatgaError ).+/.exec(cause)?.[0] ?? error}`;
  }

  return { table, refresh, sparkline, dim, counted, named, messageColumns, failure };
}

/** The functions that {@link tableMaker} returns. */
export type Tables = ReturnType<typeof tableMaker>;
