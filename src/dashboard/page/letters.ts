/** Dead letters: look, replay, edit, discard; one, or all that match. */
import type { Capped, EventsView, EventView, LetterFilter, LettersRequest, LetterText, LetterView } from "../view.ts";
import type { Elements, Table, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function lettersSection(
  { announce, ask, asked, confirmed, change, button, byId, make, count, duration, some }: Elements,
  { table }: Tables,
) {
  type What = LettersRequest["do"];

  const FILTERS = ["service", "subscription", "contract", "code"] as const;

  /** The section. */
  class Letters {
    readonly #table: Table<LetterView>;
    readonly #selects = new Map<keyof LetterFilter, HTMLSelectElement>();
    readonly #all: readonly HTMLButtonElement[];
    readonly #readOnly = make("p", "To replay and discard, start the dashboard with --allow-changes.", {
      class: "note",
    });
    #letters: Capped<LetterView> = { shown: [], total: 0 };
    #mayChange = false;

    constructor(now: () => number) {
      const bar = byId("letters-bar");
      for (const name of FILTERS) {
        const label = make("label", `${name} `);
        const select = make("select", "", { id: `letters-${name}` });
        select.append(new Option("all", ""));
        select.addEventListener("change", () => this.#show());
        label.append(select);
        bar.append(label);
        this.#selects.set(name, select);
      }
      this.#all = [
        button("Replay all", () => void this.#settleAll("replay"), { id: "replay-all" }),
        button("Discard all", () => void this.#settleAll("discard"), { id: "discard-all" }),
      ];
      bar.append(...this.#all, this.#readOnly);
      this.#table = table<LetterView>({
        place: byId("letters"),
        key: ({ place }) => place,
        empty: "none",
        columns: [
          { title: "Subscription", cell: ({ service, subscription }) => `${service}/${subscription}` },
          { title: "Contract", cell: ({ contract }) => contract },
          { title: "Key", cell: ({ key }) => key ?? "-" },
          { title: "Id", cell: ({ id }) => ({ text: id, tone: "dim" }) },
          {
            title: "Error",
            wide: true,
            cell: ({ code, error, business }) => ({ text: `${code}: ${error}`, tone: business ? "warn" : "bad" }),
          },
          { title: "Attempts", number: true, cell: ({ attempts }) => count(attempts) },
          {
            title: "Dead for",
            number: true,
            cell: ({ at, request }) =>
              request === undefined
                ? duration(now() - at)
                : { text: request === "replay" ? "to be replayed" : "to be discarded", tone: "warn" },
          },
        ],
        actions: (place) => [
          button("Replay", () => void this.#settle("replay", place), { class: "change" }),
          button("Edit", () => void this.#edit(place), { class: "change" }),
          button("Discard", () => void this.#settle("discard", place), { class: "change" }),
        ],
        detail: ({ position, code, error, cause, payload, history }) =>
          `position ${position}\n${code}: ${error}\n${cause === "" ? "" : `${cause}\n`}\n${payload}${
            history === "" ? "" : `\n\nbefore it was edited:\n${history}`
          }`,
      });
    }

    /** Whether the buttons are there. */
    allow(mayChange: boolean): void {
      this.#mayChange = mayChange;
      byId("letters").classList.toggle("read-only", !mayChange);
      this.#readOnly.hidden = mayChange;
      this.#show();
    }

    show(letters: Capped<LetterView>): void {
      this.#letters = letters;
      for (const [name, select] of this.#selects) fill(select, letters.shown.map((letter) => letter[name]));
      this.#show();
    }

    refresh(): void {
      this.#table.refresh();
    }

    get #filter(): LetterFilter {
      const given = [...this.#selects].filter(([, { value }]) => value !== "").map((
        [name, { value }],
      ) => [name, value]);
      return Object.fromEntries(given);
    }

    /** Those that match, of all that are shown. */
    #matching(): readonly LetterView[] {
      const wanted = Object.entries(this.#filter) as [keyof LetterFilter, string][];
      return this.#letters.shown.filter((letter) => wanted.every(([name, value]) => letter[name] === value));
    }

    #show(): void {
      const rows = this.#matching();
      this.#table.show(rows, rows.length + this.#letters.total - this.#letters.shown.length);
      for (const each of this.#all) {
        each.hidden = !this.#mayChange;
        each.disabled = rows.length === 0;
      }
    }

    async #settle(what: What, place: string): Promise<void> {
      const letter = this.#table.row(place);
      if (letter === undefined) return;
      const { contract, id, service, subscription } = letter;
      const question = `${title(what)} ${contract} ${id} of ${service}/${subscription}?${warning(what)}`;
      if (await confirmed(question, title(what))) await change({ do: what, letters: [place] });
    }

    async #edit(place: string): Promise<void> {
      const letter = this.#table.row(place);
      if (letter === undefined) return;
      const { contract, id, service, subscription, key } = letter;
      const read = await ask<LetterText>("letter", { place }).catch((error: Error) => error);
      if (read instanceof Error) return announce(`not read: ${read.message}`);
      const { payload: value, tagged } = read;
      const question = `Replay ${contract} ${id} of ${service}/${subscription} with another payload? ${
        key === undefined ? "" : `It stays in its place of the key ${key}. `
      }The schema of the contract checks it.`;
      const field = { name: "payload", title: tagged ? "Payload, as JSON with tags" : "Payload, as JSON", lines: 14 };
      const given = await asked(question, "Replay it so", [{ ...field, value, json: true, most: 200_000 }]);
      if (given !== undefined) await change({ do: "edit", letter: place, payload: given.payload, tagged });
    }

    async #settleAll(what: What): Promise<void> {
      const matching = this.#filter;
      const shown = this.#matching().length;
      const filters = Object.entries(matching).map(([name, value]) => `${name} ${value}`).join(", ");
      const more = this.#letters.total > this.#letters.shown.length ? ", and those that are not shown" : "";
      const which = `${some(shown, "dead letter")}${more}${filters === "" ? "" : ` with ${filters}`}`;
      if (await confirmed(`${title(what)} ${which}?${warning(what)}`, `${title(what)} all`)) {
        await change({ do: what, matching });
      }
    }
  }

  function title(what: What): string {
    return what === "replay" ? "Replay" : "Discard";
  }

  function warning(what: What): string {
    return what === "discard" ? " What is discarded is gone." : "";
  }

  /** Offers these values besides all, and keeps what was chosen. */
  function fill(select: HTMLSelectElement, values: readonly string[]): void {
    const wanted = [...new Set(values)].sort().slice(0, 100);
    if (select.value !== "" && !wanted.includes(select.value)) wanted.push(select.value);
    const offered = [...select.options].slice(1).map(({ value }) => value);
    if (offered.join("\n") === wanted.join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(new Option("all", ""), ...wanted.map((value) => new Option(value, value)));
    select.value = chosen;
  }

  return { Letters };
}

/** Its return type. */
export type LettersSection = ReturnType<typeof lettersSection>;

// The tail of the events, with a filter.

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function eventsSection({ button, byId, make, say, clock, count }: Elements, { table }: Tables) {
  /** The section. */
  class Events {
    readonly #table: Table<EventView>;
    readonly #text = make("input", "", {
      type: "search",
      id: "events-filter",
      placeholder: "name, key, id or payload",
    });
    readonly #kind = make("select", "", { id: "events-kind" });
    readonly #note = make("span", "", { class: "note" });
    readonly #pause: HTMLButtonElement;
    #view: EventsView = { shown: [], left: 0 };
    #paused = false;

    constructor() {
      const filter = make("label", "filter ");
      filter.append(this.#text);
      const kind = make("label", "kind ");
      this.#kind.append(new Option("all", ""), new Option("durable", "durable"), new Option("not kept", "live"));
      kind.append(this.#kind);
      for (const input of [this.#text, this.#kind]) input.addEventListener("input", () => this.#show());
      this.#pause = button("Pause", () => {
        this.#paused = !this.#paused;
        this.#pause.setAttribute("aria-pressed", `${this.#paused}`);
        if (!this.#paused) this.#show();
      }, { "aria-pressed": "false" });
      byId("events-bar").append(filter, kind, this.#pause, this.#note);
      this.#table = table<EventView>({
        place: byId("events"),
        key: ({ n }) => `${n}`,
        empty: "none yet",
        columns: [
          { title: "Time", cell: ({ at }) => ({ text: clock(at), tone: "dim" }) },
          { title: "Event", cell: ({ name }) => name },
          { title: "Key", cell: ({ key }) => key ?? "-" },
          {
            title: "Kind",
            cell: ({ durable, from }) => ({ text: durable ? "durable" : `from ${from}`, tone: "dim" }),
          },
          { title: "Payload", wide: true, cell: ({ payload }) => ({ text: oneLine(payload), tone: "code" }) },
        ],
        detail: ({ id, payload }) => `${id}\n\n${payload}`,
      });
    }

    show(view: EventsView): void {
      this.#view = view;
      if (!this.#paused) this.#show();
    }

    #show(): void {
      const wanted = this.#text.value.toLowerCase();
      const kind = this.#kind.value;
      const rows = this.#view.shown.filter(({ name, key = "", id, payload, durable }) =>
        (kind === "" || durable === (kind === "durable")) &&
        (wanted === "" || [name, key, id, payload].some((text) => text.toLowerCase().includes(wanted)))
      );
      this.#table.show(rows.slice(0, ROWS));
      say(this.#note, this.#view.left === 0 ? "" : `${count(this.#view.left)} came too fast to be shown`);
    }
  }

  const ROWS = 60;

  function oneLine(text: string): string {
    const line = text.replace(/\s*\n\s*/g, " ");
    return line.length > 200 ? `${line.slice(0, 200)}…` : line;
  }

  return { Events };
}

/** Its return type. */
export type EventsSection = ReturnType<typeof eventsSection>;
