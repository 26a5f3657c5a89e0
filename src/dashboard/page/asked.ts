/**
 * Sections of the page whose data are read when the user asks for them: a search for an id, a key or a correlation
 * id; entities and their events.
 */
import type { EntitiesView, EntityRow, EntityView, SearchHit, SearchView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the section of the search. The function's source text is embedded in the page's script, so it may use only
 * its parameters and browser globals.
 */
export function searchSection({ ask, byId, reading, some, time }: Elements, { table, dim }: Tables): Shows {
  let hits: readonly SearchHit[] = [];
  const found = table<SearchHit>({
    place: byId("search"),
    key: (hit) => `${hits.indexOf(hit)}`,
    empty: "",
    columns: [
      ["Found", ({ where }) => where],
      ["Name", ({ name }) => name],
      ["Id", ({ id }) => id],
      ["Key", ({ key }) => key || "-"],
      ["Correlation id", ({ correlation }) => dim(correlation || "-")],
      ["Stored", ({ at }) => at === 0 ? "-" : dim(time(at))],
      ["Where", ({ place }) => place, "wide"],
    ],
    detail: ({ causation, payload }) => `${causation === "" ? "" : `caused by ${causation}\n\n`}${payload}`,
  });
  reading("search", async () => {
    const view = await ask<SearchView>("search", { text: byId<HTMLInputElement>("search-text").value });
    return () => {
      found.show(hits = view.hits);
      return `${some(hits.length, "hit")}; read: ${view.searched.join(", ")}`;
    };
  });
  return {};
}

/**
 * Makes the section of entities. The function's source text is embedded in the page's script, so it may use only its
 * parameters and browser globals.
 */
export function entitiesSection({ ask, byId, reading, count, time }: Elements, { table, dim }: Tables): Shows {
  type Event = EntityView["events"][number];

  const [type, id] = [byId<HTMLInputElement>("entity-type"), byId<HTMLInputElement>("entity-id")];
  const list = table<EntityRow>({
    place: byId("entity-list"),
    key: ({ type, key }) => JSON.stringify([type, key]),
    empty: "",
    columns: [
      ["Type", ({ type }) => type],
      ["Id", ({ id }) => id],
      ["Version", ({ version }) => version === undefined ? "-" : count(version), "number"],
      ["Last event", ({ last }) => last, "wide"],
      ["Stored", ({ at }) => dim(time(at))],
    ],
    async detail({ type, key }) {
      const entity = await ask<EntityView>("entity", { type, id: key });
      const lines = entity.events.toReversed().map(({ version, at, event, command, payload }) =>
        `${version ?? "-"}  ${time(at)}  ${event || "passed over"}${command && `, by ${command}`}  ${oneLine(payload)}`
      );
      return `${summary(entity)}\n\n${lines.join("\n")}`;
    },
    unfold: "History",
  });
  const history = table<Event>({
    place: byId("entity-history"),
    key: ({ position }) => `${position}`,
    empty: "",
    columns: [
      ["Version", ({ version }) => version === undefined ? "-" : count(version), "number"],
      ["Stored", ({ at }) => dim(time(at))],
      ["Event", ({ event }) => event === "" ? { text: "passed over", tone: "warn" } : event],
      ["Command", ({ command }) => dim(command || "-")],
      ["Payload", ({ payload }) => ({ text: oneLine(payload), tone: "code" }), "wide"],
    ],
    detail: ({ position, payload }) => `position ${position}\n\n${payload}`,
  });
  const show = (rows: readonly EntityRow[], events: readonly Event[], about: string) => () => {
    list.show(rows);
    history.show(events);
    return about;
  };
  reading("entity", async () => {
    const wanted = type.value.trim();
    try {
      if (id.value !== "") {
        const entity = await ask<EntityView>("entity", { type: wanted, id: id.value });
        return show([], entity.events, summary(entity));
      }
      const { shown, searched } = await ask<EntitiesView>("entities", { type: wanted });
      const which = shown.length === 1 ? "1 entity" : `${count(shown.length)} entities, those that changed last first`;
      return show(shown, [], `${which}; read: ${searched}`);
    } catch (error) {
      return show([], [], (error as Error).message);
    }
  });
  return {};

  function oneLine(text: string): string {
    return text.replace(/\s+/g, " ");
  }

  function summary({ type, id, version, created, changed, forgotten, snapshot, events }: EntityView): string {
    const shown = events.length < version ? `, the last ${count(events.length)} are shown` : "";
    const kept = snapshot === "" ? "no snapshot" : `snapshot of version ${snapshot}`;
    const when = `created ${time(created)}, changed ${time(changed)}${forgotten ? "; forgotten" : ""}`;
    return `${type} ${id}: version ${count(version)}${shown}; ${when}; ${kept}`;
  }
}
