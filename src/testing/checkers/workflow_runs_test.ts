import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { RunInfo, RunStatus } from "../../contract/flow.ts";
import type { HistoryOperation, HistoryOutcome, InjectedFault, NodeProcess, WorkflowStep } from "../history.ts";
import { checkRuns, type WorkflowHistory } from "./workflow_runs.ts";

const OK: HistoryOutcome = { type: "ok", value: "7" };

/** A history of the run with the id 7 of the workflow Order. */
class Written {
  readonly operations: HistoryOperation[] = [];
  readonly steps: WorkflowStep[] = [];
  readonly faults: InjectedFault[] = [];
  readonly processes: NodeProcess[] = [];
  readonly runs: RunInfo[] = [];

  /** Adds the run with its status and the entries of its timeline, for example `"done pay"`. */
  run(status: RunStatus, ...entries: string[]): this {
    const timeline = entries.map((entry) => {
      const [type, name = ""] = entry.split(" ");
      return { at: new Date(0), by: "app-1", type, name, value: undefined };
    });
    const rest = { stage: undefined, version: 1, startedAt: new Date(0), endedAt: undefined, pending: [], timeline };
    this.runs.push({ workflow: "Order", id: "7", status, ...rest, retry: never, skip: never });
    return this;
  }

  call(method: "start" | "cancel", outcome = OK, more: Partial<HistoryOperation> = {}): this {
    const of = {
      method,
      kind: "workflow",
      contract: "Order",
      key: "7",
      id: "7",
      input: undefined,
      options: undefined,
    } as const;
    const span = { began: 0, ended: 1, start: 5, end: 6, number: this.operations.length };
    this.operations.push({ ...span, ...of, node: "client-1", step: undefined, by: undefined, outcome, ...more });
    return this;
  }

  step(type: "step" | "undo", began: number, ended: number | undefined, more: Partial<WorkflowStep> = {}): this {
    const span = { began, ended, start: began * 10, end: ended === undefined ? undefined : ended * 10 };
    const of = { workflow: "Order", run: "7", name: "pay", attempt: 1, node: "app-1", process: 1 };
    this.steps.push({ ...span, type, ...of, outcome: ended === undefined ? undefined : OK, ...more });
    return this;
  }

  fault(fault: string, node: string, began: number, ended: number | undefined): this {
    this.faults.push({ fault, node, began, ended, start: began * 10, end: undefined, detail: undefined });
    return this;
  }

  kill(node: string, ended: number): this {
    this.processes.push({ began: 0, start: 0, ended, end: ended * 10, node, process: 1, deploy: 0, endedBy: "kill" });
    return this;
  }
}

function never(): never {
  throw new Error("a checker changes nothing");
}

const lines = (history: WorkflowHistory) =>
  checkRuns(history, ["Order"]).map(({ subject, text }) => `${subject}: ${text}`);

describe("checkRuns", () => {
  it("accepts a run that is done, and one that has failed and undone its steps", () => {
    assertEquals(lines(new Written().call("start").run("done", "started", "done pay", "ended").step("step", 1, 2)), []);
    const failed = new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended");
    assertEquals(lines(failed.step("step", 1, 2).step("undo", 3, 4)), []);
  });

  it("finds a start that was ok and is not stored", () => {
    assertEquals(lines(new Written().call("start")), ["run 7 of Order: was started with ok at 5, and is not stored"]);
    const unknown: HistoryOutcome = { type: "failed", code: "OUTCOME_UNKNOWN", message: "planted" };
    assertEquals(lines(new Written().call("start", unknown)), []);
    assertEquals(lines(new Written().call("start", OK, { options: { cron: "@daily" } })), []);
  });

  it("finds a run that has not ended, and accepts one that waits for a signal or a time", () => {
    assertEquals(lines(new Written().run("retrying", "started", "failed pay")), [
      "run 7 of Order: is retrying at the end, recorded last: failed pay",
    ]);
    assertEquals(lines(new Written().run("waiting", "started", "child pay")).length, 1);
    assertEquals(lines(new Written().run("waiting", "started", "waits Approved")), []);
    assertEquals(lines(new Written().run("waiting", "started", "slept day")), []);
    assertEquals(lines(new Written().run("waiting", "started", "slept day", "woken day", "child pay")).length, 1);
  });

  it("finds a recorded step that no attempt has done, and accepts one that an operator has skipped", () => {
    const history = () => new Written().run("done", "started", "done pay", "ended").step("step", 1, undefined);
    assertEquals(lines(history()), [
      "run 7 of Order: step pay is recorded as done, and none of its 1 attempt(s) has ended",
    ]);
    assertEquals(lines(history().step("step", 3, 4)), []);
    const skipped = new Written().run("done", "started", "skipped pay", "done pay", "ended");
    assertEquals(lines(skipped.step("step", 1, undefined)), []);
  });

  it("finds a step that goes on behind its undo, and one that begins behind it", () => {
    const run = () => new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended");
    assertEquals(lines(run().step("step", 1, 9).step("undo", 3, 4)), [
      "run 7 of Order: attempt 1 of step pay went on until 90 on app-1, and its undo began at 30",
    ]);
    assertEquals(lines(run().step("step", 1, 2).step("undo", 3, 4).step("step", 5, 6)), [
      "run 7 of Order: attempt 1 of step pay began at 50 on app-1, and its undo began at 30",
    ]);
  });

  it("accepts a late step of a node that was frozen, cut off or killed, and not of another", () => {
    const run = () =>
      new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended")
        .step("step", 1, 9).step("undo", 3, 4, { node: "app-2" });
    assertEquals(lines(run().fault("freeze", "app-1", 2, 8)), []);
    assertEquals(lines(run().fault("cut", "app-1", 2, undefined)), []);
    assertEquals(lines(run().kill("app-1", 2)), []);
    assertEquals(lines(run().fault("freeze", "app-2", 2, 8)).length, 1);
    assertEquals(lines(run().fault("freeze", "app-1", 20, 28)).length, 1);
    assertEquals(lines(run().fault("skew", "app-1", 2, 8)).length, 1);
  });

  it("finds an undo of a step that was not done", () => {
    const history = new Written().run("failed", "started", "failing", "undone pay", "ended").step("undo", 3, 4);
    assertEquals(lines(history), ["run 7 of Order: undoes pay at 30, which was not done"]);
  });

  it("finds a cancel that was ok and not seen", () => {
    assertEquals(lines(new Written().call("cancel").run("done", "started", "cancelled", "ended")), [
      "run 7 of Order: is done, and its cancel at 5 was ok",
    ]);
    assertEquals(lines(new Written().call("cancel").run("failed", "started", "cancelled", "ended")), []);
    const refused: HistoryOutcome = { type: "failed", code: "NO_RUN", message: "it has ended" };
    assertEquals(lines(new Written().call("cancel", refused).run("done", "started", "ended")), []);
  });

  it("finds an entry behind the end", () => {
    assertEquals(lines(new Written().run("done", "started", "ended", "signalled Approved")), [
      "run 7 of Order: has signalled Approved recorded behind its end",
    ]);
  });

  it("looks at the named workflows alone", () => {
    assertEquals(checkRuns(new Written().run("stuck", "started"), ["Other"]), []);
  });
});
