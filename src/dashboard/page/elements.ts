/**
 * Texts and elements of the page. Text from the cluster goes through `textContent` alone.
 */
import type { ChangeAnswer, ChangeRequest } from "../view.ts";

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
