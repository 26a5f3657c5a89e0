/** A search for an id, a key or a correlation id: read when it is asked for. */
import type { SearchHit, SearchView } from "../view.ts";
import type { Elements, Shows, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function searchSection({ ask, byId, reading, some, time }: Elements, { table, dim }: Tables): Shows {
  let hits: readonly SearchHit[] = [];
  const found = table<SearchHit>({
    place: byId("search"),
    key: (hit) => `${hits.indexOf(hit)}`,
    empty: "",
    columns: [
      { title: "Found", cell: ({ where }) => where },
      { title: "Name", cell: ({ name }) => name },
      { title: "Id", cell: ({ id }) => id },
      { title: "Key", cell: ({ key }) => key || "-" },
      { title: "Correlation id", cell: ({ correlation }) => dim(correlation || "-") },
      { title: "Stored", cell: ({ at }) => at === 0 ? "-" : dim(time(at)) },
      { title: "Where", wide: true, cell: ({ place }) => place },
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
