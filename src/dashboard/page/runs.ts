/**
 * Section of the page: workflow runs. It shows the stuck ones, or those of a workflow and status that the user asks
 * for.
 */
import type { FoundRuns, RunChangeRequest, RunCount, RunsRequest, RunView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the section of workflow runs. The function's source text is embedded in the page's script, so it may use only
 * its parameters and browser globals.
 */
export function runsSection(
  { age, ask, asked, announce, byId, button, change, confirmed, reading, say, some }: Elements,
  { table }: Tables,
): Shows {
  const OPEN: ReadonlySet<string> = new Set(["running", "waiting", "retrying", "stuck", "undoing"]);
  const REASON = { name: "reason", title: "Reason, which stays with the run" };

  /**
   * Functions that ask the user for the details of a change of a run; they resolve with `undefined` if the user has
   * refused.
   */
  const ACTS: { readonly [What in RunChangeRequest["do"]]: (run: RunView) => Promise<RunChangeRequest | undefined> } = {
    async "retry run"({ workflow, id, key }) {
      const agreed = await confirmed(`Try again what is pending of ${workflow} ${id}?`, "Retry it");
      return agreed ? { do: "retry run", workflow, id: key } : undefined;
    },
    async "skip step"({ workflow, id, key, steps }) {
      if (steps.length === 0) return void announce(`${workflow} ${id} neither does a step nor waits for one`);
      const question = `Skip a step of ${workflow} ${id}? It is not done, and the run goes on with this value for it.`;
      const given = await asked(question, "Skip it", [
        { name: "step", title: "Step", options: steps },
        { name: "value", title: "Value, as JSON", value: "null", json: true, lines: 4, most: 100_000 },
        REASON,
      ]);
      if (given === undefined) return undefined;
      const { step, value, reason } = given;
      return { do: "skip step", workflow, id: key, step, value: JSON.parse(value), reason };
    },
    async "cancel run"({ workflow, id, key }) {
      const question = `Cancel ${workflow} ${id}? What is finished of it is undone.`;
      const given = await asked(question, "Cancel it", [REASON]);
      return given && { do: "cancel run", workflow, id: key, reason: given.reason };
    },
  };

  const runs = table<RunView>({
    place: byId("runs"),
    key: ({ workflow, key }) => JSON.stringify([workflow, key]),
    empty: "no run is stuck",
    columns: [
      ["Workflow", ({ workflow }) => workflow],
      ["Id", ({ id }) => id],
      ["Status", ({ status, stage }) => ({
        text: stage === "" ? status : `${status}: ${stage}`,
        tone: status === "stuck" || status === "failed" ? "bad" : "",
      })],
      ["Started", ({ startedAt }) => age(startedAt), "number"],
      ["Since", ({ since }) => age(since), "number"],
      ["Does or waits for", ({ pending }) => pending || "-", "wide"],
    ],
    actions: (key) => [
      button("Retry", () => void act("retry run", key), { class: "change" }),
      button("Skip", () => void act("skip step", key), { class: "change" }),
      button("Cancel", () => void act("cancel run", key), { class: "change" }),
    ],
    detail: ({ timeline }) => timeline,
    unfold: "Timeline",
  });
  /** True if the user has asked for certain runs: new stuck runs then do not replace them. */
  let hasAsked = false;
  const look = reading("runs", async () => {
    hasAsked = true;
    const [workflow, status] = [
      byId<HTMLInputElement>("runs-workflow").value.trim(),
      byId<HTMLSelectElement>("runs-status").value,
    ];
    const found = await ask<FoundRuns>("runs", { workflow, status });
    return () => `${shown(found)}, read at ${new Date().toLocaleTimeString("en-GB")}`;
  });

  byId("runs-form").append(
    button("Retry all", () => void actOnAll("retry runs"), { id: "retry-runs", class: "change" }),
    button("Cancel all", () => void actOnAll("cancel runs"), { id: "cancel-runs", class: "change" }),
  );

  return {
    runs(stuck) {
      if (hasAsked) return;
      const text = shown(stuck);
      say(byId("runs-about"), stuck.more ? `${text} that are stuck` : "");
    },
  };

  /** Shows runs in the table, and returns a text about their number. */
  function shown({ runs: found, more }: FoundRuns): string {
    runs.show(found);
    return `${more ? "the first " : ""}${some(found.length, "run")}`;
  }

  /**
   * Changes all runs that match the form: its workflow, its status, and its text in their error. Shows the number of
   * these runs first, and asks the user.
   */
  async function actOnAll(what: RunsRequest["do"]): Promise<void> {
    const status = byId<HTMLSelectElement>("runs-status").value as RunsRequest["matching"]["status"];
    if (!OPEN.has(status)) return announce("choose a status of runs that have not ended");
    const workflow = byId<HTMLInputElement>("runs-workflow").value.trim();
    const matching = { status, workflow, cause: byId<HTMLInputElement>("runs-cause").value };
    const { count } = await ask<RunCount>("count-runs", matching).catch((error: Error) => {
      announce(error.message);
      return { count: -1 };
    });
    if (count < 0) return;
    if (count === 0) return announce("no run matches");
    const which = `${some(count, "run")} that ${count === 1 ? "is" : "are"} ${status}`;
    if (what === "retry runs") {
      if (!await confirmed(`Try again what is pending of ${which}?`, "Retry all")) return;
      await change({ do: what, matching });
    } else {
      const given = await asked(`Cancel ${which}? What is finished of them is undone.`, "Cancel all", [REASON]);
      if (given === undefined) return;
      await change({ do: what, matching, reason: given.reason });
    }
    if (hasAsked) await look();
  }

  async function act(what: RunChangeRequest["do"], key: string): Promise<void> {
    const run = runs.row(key);
    const request = run && await ACTS[what](run);
    if (request === undefined) return;
    await change(request);
    if (hasAsked) await look();
  }
}
