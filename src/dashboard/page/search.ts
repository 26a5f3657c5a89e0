/** A search for an id, a key or a correlation id: read when it is asked for. */
import type { SearchHit, SearchView } from "../view.ts";
import type { Elements, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function searchPart({ ask, byId, say, some }: Elements, { table }: Tables) {
  /** The section. */
  function searchSection(): void {
    const text = byId<HTMLInputElement>("search-text");
    let hits: readonly SearchHit[] = [];
    let [asked, answered] = [0, 0];
    const shown = table<SearchHit>({
      place: byId("search"),
      key: (hit) => `${hits.indexOf(hit)}`,
      empty: "",
      columns: [
        { title: "Found", cell: ({ where }) => where },
        { title: "Name", cell: ({ name }) => name },
        { title: "Id", cell: ({ id }) => id },
        { title: "Key", cell: ({ key }) => key || "-" },
        { title: "Correlation id", cell: ({ correlation }) => ({ text: correlation || "-", tone: "dim" }) },
        { title: "Stored", cell: ({ at }) => at === 0 ? "-" : { text: new Date(at).toISOString(), tone: "dim" } },
        { title: "Where", wide: true, cell: ({ place }) => place },
      ],
      detail: ({ causation, payload }) => `${causation === "" ? "" : `caused by ${causation}\n\n`}${payload}`,
    });
    const look = async () => {
      const about = byId("search-about");
      const turn = ++asked;
      say(about, "reading");
      try {
        const view = await ask<SearchView>("search", { text: text.value });
        if (turn < answered) return; // a later one was answered sooner
        answered = turn;
        hits = view.hits;
        shown.show(hits);
        say(about, `${some(hits.length, "hit")}; read: ${view.searched.join(", ")}`);
      } catch (error) {
        say(about, (error as Error).message);
      }
    };
    byId("search-form").addEventListener("submit", (submitted) => {
      submitted.preventDefault();
      void look();
    });
  }

  return { searchSection };
}

/** Its return type. */
export type SearchPart = ReturnType<typeof searchPart>;
