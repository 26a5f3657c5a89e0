/** One entity with its history: read when it is asked for. */
import type { EntityView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Table, Tables } from "./table.ts";

/** Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else. */
export function entityPart({ byId, say, count }: Elements, { table }: Tables) {
  type Event = EntityView["events"][number];

  /** The section. */
  function entitySection(): void {
    const [type, id] = [byId<HTMLInputElement>("entity-type"), byId<HTMLInputElement>("entity-id")];
    const events = table<Event>({
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
      void look(type.value.trim(), id.value, events);
    });
  }

  async function look(type: string, id: string, shown: Table<Event>): Promise<void> {
    const about = byId("entity-about");
    say(about, "reading");
    try {
      const response = await fetch(`entity?${new URLSearchParams({ type, id })}`);
      if (!response.ok) {
        shown.show([]);
        return say(about, await response.text());
      }
      const entity: EntityView = await response.json();
      say(about, summary(entity));
      shown.show(entity.events);
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

  return { entitySection };
}

/** What it returns. */
export type EntityPart = ReturnType<typeof entityPart>;
