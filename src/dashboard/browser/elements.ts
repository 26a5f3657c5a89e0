/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Elements of the page. Text from the cluster goes through `textContent` alone. */

/** The element with this id, which the page has. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  return document.getElementById(id) as E;
}

/** A new element with a text. */
export function make<K extends keyof HTMLElementTagNameMap>(
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
export function button(text: string, onClick: () => void, attributes: Readonly<Record<string, string>> = {}) {
  const made = make("button", text, { type: "button", ...attributes });
  made.addEventListener("click", onClick);
  return made;
}

/** Sets a text if it is another one: an unchanged one costs no layout. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Tells the user what became of a change, also one who does not see the page. */
export function announce(text: string): void {
  const said = byId("said");
  said.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => said.textContent = "", 8_000);
}

let silence: ReturnType<typeof setTimeout> | undefined;
