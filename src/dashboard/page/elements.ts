/** Texts and elements of the page. Text from the cluster goes through `textContent` alone. */

/** Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else. */
export function elements() {
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
    return Math.round(n).toLocaleString("en-US");
  }

  /** A rate: `0`, `0.4`, `12`, `1,234`. */
  function rate(n: number): string {
    if (n === 0) return "0";
    return n < 10 ? n.toFixed(1) : count(n);
  }

  /** `14:03:22`. */
  function clock(ms: number): string {
    return Number.isFinite(ms) ? new Date(ms).toLocaleTimeString("en-GB") : "";
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
  function confirmed(question: string, yes: string): Promise<boolean> {
    const dialog = byId<HTMLDialogElement>("confirm");
    byId("confirm-question").textContent = question;
    const [no, doIt] = [byId<HTMLButtonElement>("confirm-no"), byId<HTMLButtonElement>("confirm-yes")];
    doIt.textContent = yes;
    return new Promise((resolve) => {
      const end = (answer: boolean) => {
        no.onclick = doIt.onclick = dialog.onclose = null;
        dialog.close();
        resolve(answer);
      };
      no.onclick = () => end(false);
      doIt.onclick = () => end(true);
      dialog.onclose = () => end(false);
      dialog.showModal();
      no.focus();
    });
  }

  return { duration, latency, count, rate, clock, some, byId, make, button, say, announce, confirmed };
}

/** What it returns. */
export type Elements = ReturnType<typeof elements>;
