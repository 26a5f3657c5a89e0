// Made by tools/dashboard_page.ts.
/** elements.js */
export const ELEMENTS_JS: string =
  `/** Elements of the page. Text from the cluster goes through \`textContent\` alone. */

/** The element with this id, which the page has. */
export function byId                                     (id        )    {
  return document.getElementById(id)     ;
}

/** A new element with a text. */
export function make                                       (
  tag   ,
  text = "",
  attributes                                   = {},
)                           {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== "") element.textContent = text;
  return element;
}

/** A button. */
export function button(text        , onClick            , attributes                                   = {}) {
  const made = make("button", text, { type: "button", ...attributes });
  made.addEventListener("click", onClick);
  return made;
}

/** Sets a text if it is another one: an unchanged one costs no layout. */
export function say(element         , text        )       {
  if (element.textContent !== text) element.textContent = text;
}

/** Tells the user what became of a change, also one who does not see the page. */
export function announce(text        )       {
  const said = byId("said");
  said.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => said.textContent = "", 8_000);
}

let silence                                           ;
`;
