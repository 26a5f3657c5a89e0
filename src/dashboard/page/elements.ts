/**
 * Texts and elements of the page. Text from the cluster goes through `textContent` alone.
 */
import type { Capped, ChangeAnswer, ChangeRequest, ParkedView, Topic, Topics } from "../view.ts";

/** A section of the page: makes its elements, and returns what shows the topics that it is about. */
export type Section = (elements: Elements, tables: Tables) => Shows;

/** Functions that show each topic. */
export type Shows = { readonly [T in Topic]?: (value: Topics[T]) => void };

/** Something that the user enters. */
interface PageField {
  readonly name: string;
  readonly title: string;
  readonly value?: string;
  /** True if the text must be JSON. */
  readonly json?: boolean;
  /** One of these. */
  readonly options?: readonly string[];
  /** Of so many lines, and of so many characters at most. */
  readonly lines?: number;
  readonly most?: number;
}

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function elements() {
  // made once: `toLocaleString` looks its language up each time, which took three quarters of the time of all tables
  const NUMBER = new Intl.NumberFormat("en-US");
  const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

  /** ms as `340 ms`, `7 s`, `12 m 5 s`, `3 h 20 m`, `2 d 4 h`. */
  function duration(ms: number): string {
    if (ms < 0) return "0 s";
    if (ms < 1_000) return `${Math.round(ms)} ms`;
    const s = Math.floor(ms / 1_000);
    if (s < 60) return `${s} s`;
    const m = Math.floor(s / 60);
    if (m < 60) return `${m} m ${s % 60} s`;
    const h = Math.floor(m / 60);
    return h < 24 ? `${h} h ${m % 60} m` : `${Math.floor(h / 24)} d ${h % 24} h`;
  }

  /** ms of a latency: `0.4 ms`, `12 ms`, `1.2 s`. */
  function latency(ms: number | undefined): string {
    if (ms === undefined) return "-";
    if (ms < 10) return `${ms.toFixed(1)} ms`;
    return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
  }

  /** `1,234`. */
  function count(n: number): string {
    return NUMBER.format(Math.round(n));
  }

  /** A rate: `0`, `0.4`, `12`, `1,234`. */
  function rate(n: number): string {
    if (n === 0) return "0";
    return n < 10 ? n.toFixed(1) : count(n);
  }

  /** How far the server's clock is ahead of the browser's, in ms. */
  let ahead = 0;

  /** Takes the time of the server. */
  function setClock(now: number): void {
    ahead = now - Date.now();
  }

  /** How long until then, in ms, by the server's clock. */
  function until(ms: number): number {
    return ms - Date.now() - ahead;
  }

  /** How long ago that was, as `duration` has it. */
  function age(ms: number): string {
    return duration(-until(ms));
  }

  /** `14:03:22`. */
  function clock(ms: number): string {
    return Number.isFinite(ms) ? TIME.format(ms) : "";
  }

  /** `2026-01-01T14:03:22.000Z`; a dash: never. */
  function time(ms: number | undefined): string {
    return ms === undefined ? "-" : new Date(ms).toISOString();
  }

  /** `1 node`, `2 nodes`. */
  function some(n: number, what: string): string {
    return `${count(n)} ${what}${n === 1 ? "" : "s"}`;
  }

  /** The element with this id, which the page has. */
  function byId<E extends HTMLElement = HTMLElement>(id: string): E {
    return document.getElementById(id) as E;
  }

  /** A new element with a text. */
  function make<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    text = "",
    attributes: Readonly<Record<string, string>> = {},
  ): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== "") element.textContent = text;
    return element;
  }

  /** The element, with these in it. */
  function filled<E extends Element>(element: E, ...children: readonly (Node | string)[]): E {
    element.append(...children);
    return element;
  }

  /** A button. */
  function button(text: string, onClick: () => void, attributes: Readonly<Record<string, string>> = {}) {
    const made = make("button", text, { type: "button", ...attributes });
    made.addEventListener("click", onClick);
    return made;
  }

  /** Sets a text if it is another one: an unchanged one costs no layout. */
  function say(element: Element, text: string): void {
    if (element.textContent !== text) element.textContent = text;
  }

  /** Tells the user what became of a change, also one who does not see the page. */
  function announce(text: string): void {
    const said = byId("said");
    said.textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => said.textContent = "", 8_000);
  }

  let silence: ReturnType<typeof setTimeout> | undefined;

  /** Whether the user agrees. The default of the keyboard is not to. */
  async function confirmed(question: string, yes: string): Promise<boolean> {
    return await asked(question, yes, []) !== undefined;
  }

  /** What the user enters into these fields, by their names; `undefined`: the user does not agree. */
  function asked(
    question: string,
    yes: string,
    fields: readonly PageField[],
  ): Promise<Readonly<Record<string, string>> | undefined> {
    const dialog = byId<HTMLDialogElement>("confirm");
    byId("confirm-question").textContent = question;
    const [no, doIt] = [byId<HTMLButtonElement>("confirm-no"), byId<HTMLButtonElement>("confirm-yes")];
    doIt.textContent = yes;
    const inputs = fields.map(({ name, options, lines, value = "", most = 400 }) => {
      const attributes = { name, id: `confirm-${name}`, required: "", maxlength: `${most}`, autocomplete: "off" };
      const input = options === undefined
        ? lines === undefined
          ? make("input", "", attributes)
          : make("textarea", "", { ...attributes, rows: `${lines}` })
        : make("select", "", { name, id: `confirm-${name}` });
      if (input instanceof HTMLSelectElement) input.append(...options!.map((each) => new Option(each, each)));
      else input.value = value;
      return input;
    });
    const labels = fields.map(({ title }, i) => filled(make("label", `${title} `), inputs[i]));
    byId("confirm-fields").replaceChildren(...labels);
    const isGood = (input: (typeof inputs)[number], { json = false }: PageField) => {
      input.setCustomValidity(json && !isJson(input.value) ? "This is not JSON." : "");
      return input.reportValidity();
    };
    return new Promise((resolve) => {
      const end = (agreed: boolean) => {
        no.onclick = doIt.onclick = dialog.onclose = null;
        dialog.close();
        resolve(agreed ? Object.fromEntries(inputs.map(({ name, value }) => [name, value])) : undefined);
      };
      no.onclick = () => end(false);
      doIt.onclick = () => inputs.every((input, i) => isGood(input, fields[i])) && end(true);
      // the event of the dialog before may come late: browsers send it with a frame
      dialog.onclose = () => dialog.open || end(false);
      dialog.showModal();
      (inputs[0] ?? no).focus();
    });
  }

  function isJson(text: string): boolean {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  }

  const DONE = {
    "replay": "to be replayed",
    "discard": "to be discarded",
    "edit": "to be replayed with its new payload",
    "cancel": "cancelled",
    "retry run": "to be tried again",
    "skip step": "skipped",
    "cancel run": "to be cancelled",
    "retry runs": "runs to be tried again",
    "cancel runs": "runs to be cancelled",
  } as const;

  /** Asks the server a question. Rejects with the text of a refusal. */
  async function ask<T>(what: string, parameters: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(`${what}?${new URLSearchParams(parameters)}`);
    if (!response.ok) throw new Error(await response.text());
    return await response.json();
  }

  /** Asks for a change, and tells the user what became of it. */
  async function change(request: ChangeRequest): Promise<void> {
    const response = await fetch("change", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
    }).catch((error: Error) => error);
    if (response instanceof Error || !response.ok) {
      return announce(`not done: ${response instanceof Error ? response.message : await response.text()}`);
    }
    const { done, failed, error }: ChangeAnswer = await response.json();
    announce(`${count(done)} ${DONE[request.do]}${failed === 0 ? "" : `, ${count(failed)} failed: ${error}`}`);
  }

  /**
   * Reads when the user submits the form of a section, and shows what `read` resolves with, and its text; an answer
   * that comes behind that to a later question is left out. Returns what reads again.
   */
  function reading(section: string, read: () => Promise<() => string>): () => Promise<void> {
    const about = byId(`${section}-about`);
    let [asked, answered] = [0, 0];
    const look = async () => {
      const turn = ++asked;
      say(about, "reading");
      const show = await read().catch((error: Error) => () => error.message);
      if (turn < answered) return;
      answered = turn;
      say(about, show());
    };
    byId(`${section}-form`).addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      void look();
    });
    return look;
  }

  return {
    ...{ duration, age, until, setClock, time, clock, latency, count, rate, some },
    ...{ byId, make, filled, button, say, announce, ask, asked, confirmed, change, reading },
  };
}

/** Its return type. */
export type Elements = ReturnType<typeof elements>;

// A table whose rows keep their elements, so that the focus and what is selected survive an update, and only what
// changed is written; and the small graphs in it.

/** A cell: a text, or one with a class, or an element that is updated in place. */
interface Cell {
  readonly text?: string;
  /** A class: `good`, `bad`, `warn`, `dim`. */
  readonly tone?: string;
  readonly title?: string;
  /** Draws a chart, unless that is of the same numbers as the last time. */
  readonly draw?: (place: HTMLElement) => void;
  readonly of?: unknown;
}

/** A column, and the class of its cells. */
type Column<Row> = readonly [title: string, cell: (row: Row) => string | Cell, kind?: "number" | "wide"];

/** What a table is made of. */
interface TableOptions<Row> {
  readonly place: HTMLElement;
  readonly columns: readonly Column<Row>[];
  readonly key: (row: Row) => string;
  readonly empty: string;
  /** Buttons of a row, made once for it. */
  readonly actions?: (key: string) => readonly HTMLElement[];
  /** The text below a row that unfolds, which may be read only then, and the text of its button; `"Show"`. */
  readonly detail?: (row: Row) => string | Promise<string>;
  readonly unfold?: string;
}

/** A table in a section of the page. */
export interface Table<Row> {
  /** The row of a key, as it was shown last. */
  row(key: string): Row | undefined;
  /** Shows these rows. */
  show(rows: readonly Row[] | Capped<Row>): void;
}

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function tableMaker({ button, filled, make, say, count }: Elements) {
  /**
   * Draws lines over the same time, oldest first, each with its own class, scaled to the greatest of all; with a text
   * for those who see none.
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

  /** The newest is at the right end; where there is none, the line has a gap. */
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

  /** Rows of a page; characters of a cell that are too many. */
  const PAGE = 50;
  const LONG = 120;
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 180;
  const HEIGHT = 28;
  /** Points of 15 minutes. */
  const POINTS = 90;

  interface Shown {
    readonly tr: HTMLTableRowElement;
    readonly cells: readonly HTMLElement[];
    /** What each cell has: to read it from the element takes longer. */
    readonly now: unknown[];
    detail?: HTMLElement;
  }

  /** Functions that show the rows of each table again. */
  const tables: (() => void)[] = [];

  /** Shows the same rows again, for their ages. */
  function refresh(): void {
    for (const again of tables) again();
  }

  /** Makes a table. */
  function table<Row>(options: TableOptions<Row>): Table<Row> {
    const { place, columns, key: keyOf, empty, actions, detail, unfold = "Show" } = options;
    const body = make("tbody");
    const note = make("p", empty && "looking", { class: "note" }); // nothing is known yet
    // who has no mouse scrolls it with the keyboard
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

    /** The rows of the page. */
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
      // first, or all others would have to be moved past them
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

    /** The elements of a row. */
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
        // a long id shows its beginning, until it has the focus
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
      for (const row of rows) update(shown.get(keyOf(row))!, row); // drawn
    });
    return {
      row: rowAt,
      show(view) {
        [all, total] = "shown" in view ? [view.shown, view.total] : [view, view.length];
        draw();
      },
    };
  }

  /** A muted text. */
  function dim(text: string): Cell {
    return { text, tone: "dim" };
  }

  /** A number that is a bad sign unless it is 0. */
  function counted(n: number, tone: "warn" | "bad"): Cell {
    return { text: count(n), tone: n > 0 ? tone : "" };
  }

  /** Names, of which there may be more. */
  function named(names: readonly string[], total: number): string {
    return `${names.join(", ")}${total > names.length ? ` and ${count(total - names.length)} more` : ""}`;
  }

  /** The columns that say which message of a subscription it is. */
  const messageColumns: readonly Column<ParkedView>[] = [
    ["Subscription", ({ service, subscription }) => `${service}/${subscription}`],
    ["Contract", ({ contract }) => contract],
    ["Key", ({ key }) => key ?? "-"],
    ["Id", ({ id }) => dim(id)],
  ];

  /** A failure in a line: what a handler threw, not where. */
  function failure({ code, error, cause }: ParkedView): string {
    return `${code}: ${/^(?!CatgaError ).+/.exec(cause)?.[0] ?? error}`;
  }

  return { table, refresh, sparkline, dim, counted, named, messageColumns, failure };
}

/** Its return type. */
export type Tables = ReturnType<typeof tableMaker>;
