/// <reference lib="dom" />
/** One entity with its history: read when it is asked for. */
import type { EntityView } from "../view.ts";
import { byId, say } from "./elements.ts";
import { count } from "./format.ts";
import { Table } from "./table.ts";

type Event = EntityView["events"][number];

/** The section. */
export function entitySection(): void {
  const [type, id] = [byId<HTMLInputElement>("entity-type"), byId<HTMLInputElement>("entity-id")];
  const table = new Table<Event>({
    place: byId("entity"),
    key: ({ position }) => `${position}`,
    empty: "",
    columns: [
      { title: "Version", number: true, cell: ({ version }) => version === undefined ? "-" : count(version) },
      { title: "Stored", cell: ({ at }) => ({ text: new Date(at).toISOString(), tone: "dim" }) },
      {
        title: "Event",
        cell: ({ event }) => event === "" ? { text: "passed over", tone: "warn" } : event,
      },
      { title: "Command", cell: ({ command }) => ({ text: command || "-", tone: "dim" }) },
      { title: "Payload", wide: true, cell: ({ payload }) => ({ text: payload.replace(/\s+/g, " "), tone: "code" }) },
    ],
    detail: ({ position, payload }) => `position ${position}\n\n${payload}`,
  });
  byId("entity-form").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    void look(type.value.trim(), id.value, table);
  });
}

async function look(type: string, id: string, table: Table<Event>): Promise<void> {
  const about = byId("entity-about");
  say(about, "reading");
  try {
    const response = await fetch(`entity?${new URLSearchParams({ type, id })}`);
    if (!response.ok) {
      table.show([]);
      return say(about, await response.text());
    }
    const entity: EntityView = await response.json();
    say(about, summary(entity));
    table.show(entity.events);
  } catch (error) {
    say(about, (error as Error).message);
  }
}

function summary({ type, id, version, created, changed, forgotten, snapshot, events }: EntityView): string {
  const time = (ms: number | undefined) => ms === undefined ? "-" : new Date(ms).toISOString();
  const shown = events.length < version ? `, the last ${count(events.length)} are shown` : "";
  const kept = snapshot === "" ? "no snapshot" : `snapshot of version ${snapshot}`;
  return `${type} ${id}: version ${count(version)}${shown}; created ${time(created)}, changed ${time(changed)}; ${
    forgotten ? "forgotten; " : ""
  }${kept}`;
}
