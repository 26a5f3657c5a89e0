/** Makes texts and elements of the page. Text from the cluster is set as `textContent` only, never as HTML. */
import type { ChangeAnswer, ChangeRequest } from "../view.ts";

/** A field of a dialog that the user fills in. */
interface PageField {
  readonly name: string;
  readonly title: string;
  readonly value?: string;
  /** True if the text in the field must be JSON. */
  readonly json?: boolean;
  /** Values from which the user chooses; absent: a text field. */
  readonly options?: readonly string[];
  /** Number of lines of the field. */
  readonly lines?: number;
  /** Maximum length of the text in the field, in characters. */
  readonly most?: number;
}

/**
 * Makes the functions for texts and elements. The function's source text is embedded in the page's script, so it may
 * use only its parameters and browser globals.
 */
export function elements() {
  // the formats are made once, because `toLocaleString` looks up its language each time, which took three quarters of
  // the time of all tables
  const NUMBER = new Intl.NumberFormat("en-US");
  const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

  /** Formats a duration, given in ms, as `340 ms`, `7 s`, `12 m 5 s`, `3 h 20 m`, `2 d 4 h`. */
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

  /** Formats a latency, given in ms: `0.4 ms`, `12 ms`, `1.2 s`. */
  function latency(ms: number | undefined): string {
    if (ms === undefined) return "-";
    if (ms < 10) return `${ms.toFixed(1)} ms`;
    return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
  }

  /** Formats a number with separators: `1,234`. */
  function count(n: number): string {
    return NUMBER.format(Math.round(n));
  }

  /** Formats a rate per second: `0`, `0.4`, `12`, `1,234`. */
  function rate(n: number): string {
    if (n === 0) return "0";
    return n < 10 ? n.toFixed(1) : count(n);
  }

  /** Time by which the server's clock is ahead of the browser's, in ms. */
  let ahead = 0;

  /** Sets the present time of the server, in ms since 1970. */
  function setClock(now: number): void {
    ahead = now - Date.now();
  }

  /** Returns the time until a moment (ms since 1970 by the server's clock), in ms. */
  function until(ms: number): number {
    return ms - Date.now() - ahead;
  }

  /** Returns the time since a moment (ms since 1970 by the server's clock), formatted by `duration`. */
  function age(ms: number): string {
    return duration(-until(ms));
  }

  /** Formats a moment, given in ms since 1970, as `14:03:22`. */
  function clock(ms: number): string {
    return Number.isFinite(ms) ? TIME.format(ms) : "";
  }

  /** Formats a moment, given in ms since 1970, as `2026-01-01T14:03:22.000Z`; `undefined` as a dash. */
  function time(ms: number | undefined): string {
    return ms === undefined ? "-" : new Date(ms).toISOString();
  }

  /** Formats a number of things: `1 node`, `2 nodes`. */
  function some(n: number, what: string): string {
    return `${count(n)} ${what}${n === 1 ? "" : "s"}`;
  }

  /** Returns the element of the page with this id, which must exist. */
  function byId<E extends HTMLElement = HTMLElement>(id: string): E {
    return document.getElementById(id) as E;
  }

  /** Makes an element with a text and attributes. */
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

  /** Appends children to an element, and returns the element. */
  function filled<E extends Element>(element: E, ...children: readonly (Node | string)[]): E {
    element.append(...children);
    return element;
  }

  /** Makes a button with a text, which calls `onClick`. */
  function button(text: string, onClick: () => void, attributes: Readonly<Record<string, string>> = {}) {
    const made = make("button", text, { type: "button", ...attributes });
    made.addEventListener("click", onClick);
    return made;
  }

  /** Sets the text of an element, unless it has that text already: so an unchanged text costs no layout. */
  function say(element: Element, text: string): void {
    if (element.textContent !== text) element.textContent = text;
  }

  /** Tells the user the outcome of a change, also if the user uses a screen reader. */
  function announce(text: string): void {
    const said = byId("said");
    said.textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => said.textContent = "", 8_000);
  }

  let silence: ReturnType<typeof setTimeout> | undefined;

  /**
   * Asks the user a question, and resolves with true if the user agrees. The button that the keyboard selects first
   * refuses.
   */
  async function confirmed(question: string, yes: string): Promise<boolean> {
    return await asked(question, yes, []) !== undefined;
  }

  /**
   * Asks the user to fill in these fields. Resolves with the inputs by field name; `undefined`: the user has refused.
   */
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
      // the close event may be that of an earlier dialog, because browsers send it with a frame: ignore it while a
      // dialog is open
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
    "pause": "paused",
    "resume": "resumed",
    "pause schedule": "paused",
    "resume schedule": "resumed",
    "retry run": "to be tried again",
    "skip step": "skipped",
    "cancel run": "to be cancelled",
    "retry runs": "runs to be tried again",
    "cancel runs": "runs to be cancelled",
  } as const;

  /** Sends a question to the server, and resolves with its answer. Rejects with the text of a refusal. */
  async function ask<T>(what: string, parameters: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(`${what}?${new URLSearchParams(parameters)}`);
    if (!response.ok) throw new Error(await response.text());
    return await response.json();
  }

  /** Requests a change of the server, and tells the user its outcome. */
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
   * Calls `read` when the user submits the form of a section, and shows the text that it returns. An answer that
   * comes after the answer to a later question is ignored. Returns a function that reads again.
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

/** The functions that {@link elements} returns. */
export type Elements = ReturnType<typeof elements>;
