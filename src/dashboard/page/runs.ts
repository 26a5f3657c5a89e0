/** Runs of workflows: those that are stuck, or those that are asked for by workflow and status. */
import type { RunView } from "../view.ts";
import type { Elements, Table, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function runsSection(
  { byId, button, change, confirmed, duration, say, some }: Elements,
  { table }: Tables,
) {
  /** The section. */
  class Runs {
    readonly #table: Table<RunView>;
    #asked = false;

    constructor(now: () => number) {
      const act = async (what: "retry run" | "cancel run", key: string) => {
        const run = this.#table.row(key);
        if (run === undefined) return;
        const { workflow, id } = run;
        const title = what === "retry run" ? "Retry" : "Cancel";
        const question = what === "retry run"
          ? `Try again what is pending of ${workflow} ${id}?`
          : `Cancel ${workflow} ${id}? What is finished of it is undone.`;
        if (await confirmed(question, `${title} it`)) await change({ do: what, workflow, id });
      };
      this.#table = table<RunView>({
        place: byId("runs"),
        key: ({ workflow, id }) => JSON.stringify([workflow, id]),
        empty: "no run is stuck",
        columns: [
          { title: "Workflow", cell: ({ workflow }) => workflow },
          { title: "Id", cell: ({ id }) => id },
          {
            title: "Status",
            cell: ({ status }) => ({ text: status, tone: status === "stuck" || status === "failed" ? "bad" : "" }),
          },
          { title: "Started", number: true, cell: ({ startedAt }) => duration(now() - startedAt) },
          { title: "Since", number: true, cell: ({ since }) => duration(now() - since) },
          { title: "Does or waits for", wide: true, cell: ({ pending }) => pending || "-" },
        ],
        actions: (key) => [
          button("Retry", () => void act("retry run", key), { class: "change" }),
          button("Cancel", () => void act("cancel run", key), { class: "change" }),
        ],
        detail: ({ timeline }) => timeline,
        unfold: "Timeline",
      });
      byId("runs-form").addEventListener("submit", (submitted) => {
        submitted.preventDefault();
        void this.#look();
      });
    }

    /** Those that are stuck. */
    show(runs: readonly RunView[]): void {
      if (!this.#asked) this.#table.show(runs);
    }

    refresh(): void {
      this.#table.refresh();
    }

    async #look(): Promise<void> {
      const about = byId("runs-about");
      const [workflow, status] = [
        byId<HTMLInputElement>("runs-workflow").value.trim(),
        byId<HTMLSelectElement>("runs-status").value,
      ];
      this.#asked = true;
      say(about, "reading");
      try {
        const response = await fetch(`runs?${new URLSearchParams({ workflow, status })}`);
        if (!response.ok) return say(about, await response.text());
        const runs: readonly RunView[] = await response.json();
        say(about, `${some(runs.length, "run")}, read at ${new Date().toLocaleTimeString("en-GB")}`);
        this.#table.show(runs);
      } catch (error) {
        say(about, (error as Error).message);
      }
    }
  }

  return { Runs };
}

/** What it returns. */
export type RunsSection = ReturnType<typeof runsSection>;
