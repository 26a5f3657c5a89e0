/**
 * Section of the page: dead letters. The user can look at, replay, edit and discard one letter, all letters that
 * failed alike, or all letters that match a filter.
 */
import type { LetterFilter, LetterGroup, LettersRequest, LetterText, LetterView, Topics } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the section of dead letters. The function's source text is embedded in the page's script, so it may use only
 * its parameters and browser globals.
 */
export function lettersSection(
  { age, announce, ask, asked, confirmed, change, button, byId, filled, make, count, some }: Elements,
  { table, failure, messageColumns }: Tables,
): Shows {
  type What = LettersRequest["do"];

  const groups = table<LetterGroup>({
    place: byId("groups"),
    key: ({ service, subscription, contract, code, cause }) =>
      JSON.stringify([service, subscription, contract, code, cause]),
    empty: "",
    columns: [
      ["Letters", (group) => `${count(group.count)}${group.partial ? "+" : ""}`, "number"],
      ["Subscription", ({ service, subscription }) => `${service}/${subscription}`],
      ["Contract", ({ contract }) => contract],
      ["Failed with", ({ code, cause, business }) => ({
        text: `${business ? "decided: " : ""}${code}: ${cause}`,
        tone: business ? "warn" : "bad",
      }), "wide"],
      ["First", ({ first }) => age(first), "number"],
      ["Last", ({ last }) => age(last), "number"],
    ],
    actions: (key) => [
      button("Replay all", () => void settleGroup("replay", key), { class: "change" }),
      button("Discard all", () => void settleGroup("discard", key), { class: "change" }),
    ],
    detail: ({ stack, code, cause }) => stack === "" ? `${code}: ${cause}\n\nNo stack is kept of it.` : stack,
    unfold: "Why",
  });

  const bar = byId("letters-bar");
  const selects = (["service", "subscription", "contract", "code"] as const).map((name) => {
    const select = filled(make("select", "", { id: `letters-${name}` }), new Option("all", ""));
    select.addEventListener("change", show);
    bar.append(filled(make("label", `${name} `), select));
    return { name, select };
  });
  const buttons = [
    button("Replay all", () => void settleAll("replay"), { id: "replay-all", class: "change" }),
    button("Discard all", () => void settleAll("discard"), { id: "discard-all", class: "change" }),
  ];
  bar.append(
    ...buttons,
    make("p", "To replay and discard, start the dashboard with --allow-changes.", { class: "note no-change" }),
  );
  const letters = table<LetterView>({
    place: byId("letters"),
    key: ({ place }) => place,
    empty: "none",
    columns: [
      ...messageColumns,
      ["Error", (letter) => ({ text: failure(letter), tone: letter.business ? "warn" : "bad" }), "wide"],
      ["Attempts", ({ attempts }) => count(attempts), "number"],
      [
        "Dead for",
        ({ at, request }) =>
          request === undefined
            ? age(at)
            : { text: request === "replay" ? "to be replayed" : "to be discarded", tone: "warn" },
        "number",
      ],
    ],
    actions: (place) => [
      button("Replay", () => void settle("replay", place), { class: "change" }),
      button("Edit", () => void edit(place), { class: "change" }),
      button("Discard", () => void settle("discard", place), { class: "change" }),
    ],
    detail({ position, code, error, cause, payload, history }) {
      const before = history === "" ? "" : `\n\nbefore it was edited:\n${history}`;
      return `position ${position}\n${code}: ${error}\n${cause && `${cause}\n`}\n${payload}${before}`;
    },
  });
  let all: Topics["letters"] = { shown: [], total: 0 };
  for (const each of buttons) each.disabled = true;

  return {
    groups: groups.show,
    letters(view) {
      all = view;
      for (const { name, select } of selects) fill(select, view.shown.map((letter) => letter[name]));
      show();
    },
  };

  /** Returns the filter for letters that the user has chosen. */
  function chosen(): LetterFilter {
    const given = selects.filter(({ select }) => select.value !== "");
    return Object.fromEntries(given.map(({ name, select }) => [name, select.value]));
  }

  /** Returns the letters on the page that match the chosen filter. */
  function matching(): readonly LetterView[] {
    return all.shown.filter((letter) =>
      selects.every(({ name, select }) => select.value === "" || letter[name] === select.value)
    );
  }

  function show(): void {
    const shown = matching();
    letters.show({ shown, total: shown.length + all.total - all.shown.length });
    for (const each of buttons) each.disabled = shown.length === 0;
  }

  /** Replays or discards all letters of a group, including those that are not on the page. */
  async function settleGroup(what: What, key: string): Promise<void> {
    const group = groups.row(key);
    if (group === undefined) return;
    const { service, subscription, contract, code, cause } = group;
    const more = group.partial ? " or more" : ""; // "or more", because letters that were not read yet are changed, too
    const which = `${some(group.count, "dead letter")}${more} of ${contract} in ${service}/${subscription}`;
    await settleThese(what, `${which} (${code}: ${cause})`, { service, subscription, contract, code, group: cause });
  }

  async function settleAll(what: What): Promise<void> {
    const wanted = chosen();
    const filters = Object.entries(wanted).map(([name, value]) => `${name} ${value}`).join(", ");
    const more = all.total > all.shown.length ? ", and those that are not shown" : "";
    const which = `${some(matching().length, "dead letter")}${more}${filters === "" ? "" : ` with ${filters}`}`;
    await settleThese(what, which, wanted);
  }

  async function settleThese(what: What, which: string, matching: LetterFilter): Promise<void> {
    if (await agrees(what, which, `${title(what)} all`)) await change({ do: what, matching });
  }

  async function settle(what: What, place: string): Promise<void> {
    const letter = letters.row(place);
    if (letter === undefined) return;
    const { contract, id, service, subscription } = letter;
    const which = `${contract} ${id} of ${service}/${subscription}`;
    if (await agrees(what, which, title(what))) await change({ do: what, letters: [place] });
  }

  function agrees(what: What, which: string, yes: string): Promise<boolean> {
    const warning = what === "discard" ? " What is discarded is gone." : "";
    return confirmed(`${title(what)} ${which}?${warning}`, yes);
  }

  function title(what: What): string {
    return what === "replay" ? "Replay" : "Discard";
  }

  async function edit(place: string): Promise<void> {
    const letter = letters.row(place);
    if (letter === undefined) return;
    const { contract, id, service, subscription, key } = letter;
    const read = await ask<LetterText>("letter", { place }).catch((error: Error) => error);
    if (read instanceof Error) return announce(`not read: ${read.message}`);
    const { payload: value, tagged } = read;
    const inPlace = key === undefined ? "" : ` It stays in its place of the key ${key}.`;
    const which = `${contract} ${id} of ${service}/${subscription}`;
    const question = `Replay ${which} with another payload?${inPlace} The schema of the contract checks it.`;
    const field = { name: "payload", title: tagged ? "Payload, as JSON with tags" : "Payload, as JSON", lines: 14 };
    const given = await asked(question, "Replay it so", [{ ...field, value, json: true, most: 200_000 }]);
    if (given !== undefined) await change({ do: "edit", letter: place, payload: given.payload, tagged });
  }

  /** Offers these values in a list in addition to "all", and keeps the chosen value. */
  function fill(select: HTMLSelectElement, values: readonly string[]): void {
    const wanted = [...new Set(values)].sort().slice(0, 100);
    if (select.value !== "" && !wanted.includes(select.value)) wanted.push(select.value);
    const offered = [...select.options].slice(1).map(({ value }) => value);
    if (offered.join("\n") === wanted.join("\n")) return;
    const kept = select.value;
    select.replaceChildren(new Option("all", ""), ...wanted.map((value) => new Option(value, value)));
    select.value = kept;
  }
}
