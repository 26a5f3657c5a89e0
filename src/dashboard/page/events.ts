/** The tail of the events, with a filter. */
import type { EventsView, EventView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Table, Tables } from "./table.ts";

/** Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else. */
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

/** What it returns. */
export type EventsSection = ReturnType<typeof eventsSection>;
