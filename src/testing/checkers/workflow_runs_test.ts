import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fail } from "../../../mod.ts";
import type { RunInfo, RunStatus } from "../../contract/calls/flow.ts";
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
    const times = { startedAt: new Date(0), endedAt: undefined };
    const rest = {
      view: undefined,
      stage: undefined,
      tags: [],
      code: undefined,
      version: 1,
      ...times,
      pending: [],
      timeline,
    };
    this.runs.push({ workflow: "Order", id: "7", status, ...rest, retry: never, skip: never });
    return this;
  }

  /** Completes the callback "paid" of a life. */
  complete(life: number, input: unknown, outcome = OK): this {
    const token = `${Buffer.from(JSON.stringify(["Order", "7", life, "paid"])).toString("base64url")}.code`;
    const of = { kind: "signal", contract: "Order.paid", key: "7", id: token, input } as const;
    return this.call("complete", outcome, of);
  }

  call(method: "start" | "cancel" | "complete", outcome = OK, more: Partial<HistoryOperation> = {}): this {
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

  fault(fault: string, node: string | undefined, began: number, ended: number | undefined): this {
    this.faults.push({ fault, node, began, ended, start: began * 10, end: undefined, detail: undefined });
    return this;
  }

  kill(node: string, ended: number, more: Partial<NodeProcess> = {}): this {
    const of = { began: 0, start: 0, ended, end: ended * 10, node, process: 1, deploy: 0, endedBy: "kill" } as const;
    this.processes.push({ ...of, ...more });
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
    assertEquals(lines(new Written().call("start", OK, { contract: "Other" })), []);
    assertEquals(lines(new Written().call("cancel")), []);
    assertEquals(
      lines(new Written().call("start", { type: "ok", value: "8" }).run("done", "started", "ended")).length,
      1,
    );
  });

  it("finds a run that has not ended, and accepts one that waits for a signal or a time", () => {
    assertEquals(lines(new Written().run("retrying", "started", "failed pay")), [
      "run 7 of Order: is retrying at the end, recorded last: failed pay",
    ]);
    assertEquals(lines(new Written().run("waiting", "started", "child pay")).length, 1);
    assertEquals(lines(new Written().run("waiting", "started", "waits Approved")), []);
    assertEquals(lines(new Written().run("waiting", "started", "slept day")), []);
    assertEquals(lines(new Written().run("waiting", "started", "slept day", "woken day", "child pay")).length, 1);
    assertEquals(lines(new Written().run("waiting", "started", "slept day", "woken night")), []);
    assertEquals(lines(new Written().run("waiting", "started", "waits Approved", "took Approved")).length, 1);
    assertEquals(lines(new Written().run("retrying", "started", "slept day")).length, 1);
    const stuck = new Written().run("stuck", "started");
    const errors = ["pay", ""].map((name) => ({ name, error: { code: "NO", message: `${name} failed` } }));
    Object.assign(stuck.runs[0], { pending: [...errors, { name: "mail", error: undefined }] });
    assertEquals(lines(stuck), [
      "run 7 of Order: is stuck at the end (pay: pay failed; the handler:  failed; mail), recorded last: started",
    ]);
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

  it("accepts a late step only for what befell its own process at that time", () => {
    const late = (type: (run: Written) => Written) =>
      lines(type(
        new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended")
          .step("step", 5, 9).step("undo", 7, 8, { node: "app-2" }),
      )).length;
    assertEquals(late((run) => run), 1);
    assertEquals(late((run) => run.fault("freeze", "app-1", 1, 6)), 0);
    assertEquals(late((run) => run.fault("freeze", "app-1", 1, 4)), 1);
    assertEquals(late((run) => run.fault("freeze", "app-1", 9, 12)), 1);
    assertEquals(late((run) => run.fault("cut", undefined, 1, 6)), 0);
    assertEquals(late((run) => run.kill("app-1", 9)), 0);
    assertEquals(late((run) => run.kill("app-1", 10)), 1);
    assertEquals(late((run) => run.kill("app-2", 6)), 1);
    assertEquals(late((run) => run.kill("app-1", 6, { process: 2 })), 1);
    assertEquals(late((run) => run.kill("app-1", 6, { endedBy: "drain" })), 1);
    // a step that began behind its undo, on a node that was frozen before it began
    const behind = new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended")
      .step("step", 1, 2).step("undo", 3, 4).step("step", 7, 8, { node: "app-2" });
    assertEquals(lines(behind).length, 1);
    assertEquals(lines(behind.fault("freeze", "app-2", 2, 6)), []);
  });

  it("finds a step without an end behind its undo", () => {
    const run = new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended");
    const breaches = checkRuns(run.step("step", 1, undefined).step("step", 1, 2).step("undo", 3, 4), ["Order"]);
    assertEquals(breaches.map(({ text, at }) => [text, at]), [
      ["attempt 1 of step pay went on until the end on app-1, and its undo began at 30", 10],
    ]);
  });

  it("keeps steps, runs, and what was recorded of them apart by their names", () => {
    const done = () => new Written().run("done", "started", "done pay", "ended");
    const other = { name: "mail" };
    assertEquals(lines(done().step("step", 1, undefined).step("step", 3, 4, other)).length, 1);
    assertEquals(lines(done().step("step", 1, undefined).step("undo", 3, 4)).length, 1 + 1);
    assertEquals(lines(done().step("step", 1, 2).step("step", 3, undefined, { run: "8" })), []);
    assertEquals(lines(done().step("step", 1, 2).step("step", 3, undefined, { workflow: "Other" })), []);
    const failed = () => new Written().run("failed", "started", "done pay", "failing", "undone pay", "ended");
    assertEquals(lines(failed().step("step", 1, 2).step("undo", 3, 4).step("step", 1, 9, other)), []);
    assertEquals(lines(failed().step("step", 1, 2, other).step("undo", 3, 4, other)), []);
    assertEquals(lines(failed().step("step", 5, 6, other).step("undo", 3, 4, other)).length, 1);
    const skipped = new Written().run("failed", "started", "skipped pay", "failing", "undone pay", "ended");
    assertEquals(lines(skipped.step("undo", 3, 4)), []);
    const told = new Written().run("failed", "started", "told pay", "failing", "undone pay", "ended");
    assertEquals(lines(told.step("undo", 3, 4)), []);
    const mail = new Written().run("failed", "started", "done mail", "failing", "undone pay", "ended");
    assertEquals(lines(mail.step("undo", 3, 4)).length, 1);
    const failing = new Written().run("failed", "started", "failed pay", "ended");
    assertEquals(lines(failing.step("step", 1, undefined)), []);
    assertEquals(lines(done().step("step", 1, 2, { outcome: { type: "failed", code: "NO", message: "no" } })), []);
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
    for (const other of [{ method: "start" }, { contract: "Other" }, { key: "8" }] as const) {
      assertEquals(lines(new Written().call("cancel", OK, other).run("done", "started", "ended")), []);
    }
  });

  it("finds a completion that was ok and is lost, or too late, and two of one callback", () => {
    const run = (...entries: string[]) => new Written().run("done", "started", ...entries, "ended");
    const paid = run("waits paid", "completed paid", "took paid");
    assertEquals(lines(paid.complete(1, 7).complete(1, 7)), []);
    const of = (...more: string[]) => [`run 7 of Order: callback paid was completed at 5 with ${more.join("")}`];
    assertEquals(lines(run("waits paid", "took paid").complete(1, 7)), of("ok, and the run does not have that"));
    assertEquals(lines(run("took paid", "completed paid").complete(1, 7)), of("ok, and had ended before"));
    assertEquals(lines(paid.complete(1, 8)), of("7, and with 8 at 5, both with ok"));
    const failed = run("completed paid", "took paid").complete(1, fail("NO", "no money"));
    assertEquals(lines(failed.complete(1, fail("NO", "no money"))), []);
    assertEquals(lines(failed.complete(1, fail("NO", "late"))).length, 1);
    const refused: HistoryOutcome = { type: "failed", code: "CALLBACK_ENDED", message: "it has ended" };
    assertEquals(lines(run("took paid").complete(1, 7, refused)), []);
    // each life has a callback of its own
    const two = () => run("completed paid", "took paid", "again", "took paid");
    assertEquals(lines(two().complete(1, 7)), []);
    assertEquals(lines(two().complete(2, 7)), of("ok, and the run does not have that"));
    const later = new Written().run("done", "again", "took paid", "ended");
    assertEquals(lines(later.complete(1, 7)), []);
    // a token of another run, and no token
    assertEquals(lines(run("took paid").call("complete", OK, { id: "x.y" })), []);
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
