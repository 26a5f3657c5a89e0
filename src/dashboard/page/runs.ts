/** Runs of workflows: those that are stuck, or those that are asked for by workflow and status. */
import type { RunRequest, RunView } from "../view.ts";
import type { Elements, Shows, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function runsSection(
  { age, ask, asked, announce, byId, button, change, confirmed, reading, some }: Elements,
  { table }: Tables,
): Shows {
  const REASON = { name: "reason", title: "Reason, which stays with the run" };

  /** Asks the user for what a change needs; `undefined`: it is not to be. */
  const ACTS: { readonly [What in RunRequest["do"]]: (run: RunView) => Promise<RunRequest | undefined> } = {
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
      ["Status", ({ status }) => ({ text: status, tone: status === "stuck" || status === "failed" ? "bad" : "" })],
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
  /** Whether the user has asked: then stuck ones do not replace the answer. */
  let hasAsked = false;
  const look = reading("runs", async () => {
    hasAsked = true;
    const [workflow, status] = [
      byId<HTMLInputElement>("runs-workflow").value.trim(),
      byId<HTMLSelectElement>("runs-status").value,
    ];
    const found = await ask<readonly RunView[]>("runs", { workflow, status });
    return () => {
      runs.show(found);
      return `${some(found.length, "run")}, read at ${new Date().toLocaleTimeString("en-GB")}`;
    };
  });

  return { runs: (stuck) => hasAsked ? undefined : runs.show(stuck) };

  async function act(what: RunRequest["do"], key: string): Promise<void> {
    const run = runs.row(key);
    const request = run && await ACTS[what](run);
    if (request === undefined) return;
    await change(request);
    if (hasAsked) await look();
  }
}
