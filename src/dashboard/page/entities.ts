/** Entities by type, and one with its history: read when they are asked for. */
import type { EntitiesView, EntityRow, EntityView } from "../view.ts";
import type { Elements, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function entityPart({ ask, byId, say, count }: Elements, { table }: Tables) {
  type Event = EntityView["events"][number];

  /** The section. */
  function entitySection(): void {
    const [type, id] = [byId<HTMLInputElement>("entity-type"), byId<HTMLInputElement>("entity-id")];
    const list = table<EntityRow>({
      place: byId("entity-list"),
      key: ({ type, key }) => JSON.stringify([type, key]),
      empty: "",
      columns: [
        { title: "Type", cell: ({ type }) => type },
        { title: "Id", cell: ({ id }) => id },
        { title: "Version", number: true, cell: ({ version }) => version === undefined ? "-" : count(version) },
        { title: "Last event", wide: true, cell: ({ last }) => last },
        { title: "Stored", cell: ({ at }) => ({ text: new Date(at).toISOString(), tone: "dim" }) },
      ],
      async detail({ type, key }) {
        const entity = await ask<EntityView>("entity", { type, id: key });
        const lines = entity.events.toReversed().map(({ version, at, event, command, payload }) =>
          `${version ?? "-"}  ${new Date(at).toISOString()}  ${event || "passed over"}${
            command && `, by ${command}`
          }  ${oneLine(payload)}`
        );
        return `${summary(entity)}\n\n${lines.join("\n")}`;
      },
      unfold: "History",
    });
    const events = table<Event>({
      place: byId("entity-history"),
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
        { title: "Payload", wide: true, cell: ({ payload }) => ({ text: oneLine(payload), tone: "code" }) },
      ],
      detail: ({ position, payload }) => `position ${position}\n\n${payload}`,
    });
    const look = async () => {
      const about = byId("entity-about");
      say(about, "reading");
      let [rows, history]: [readonly EntityRow[], readonly Event[]] = [[], []];
      try {
        if (id.value === "") {
          const { shown, searched } = await ask<EntitiesView>("entities", { type: type.value.trim() });
          rows = shown;
          const which = shown.length === 1
            ? "1 entity"
            : `${count(shown.length)} entities, those that changed last first`;
          say(about, `${which}; read: ${searched}`);
        } else {
          const entity = await ask<EntityView>("entity", { type: type.value.trim(), id: id.value });
          history = entity.events;
          say(about, summary(entity));
        }
      } catch (error) {
        say(about, (error as Error).message);
      }
      list.show(rows);
      events.show(history);
    };
    byId("entity-form").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      void look();
    });
  }

  function oneLine(text: string): string {
    return text.replace(/\s+/g, " ");
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

/** Its return type. */
export type EntityPart = ReturnType<typeof entityPart>;
