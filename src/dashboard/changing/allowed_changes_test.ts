import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import type { RunInfo, RunsOptions } from "../../contract/calls/flow.ts";
import type { DeadLetter } from "../../contract/calls/durable_messages.ts";
import { messageId } from "../../log/format/commit.ts";
import { subscriptionKey } from "../../log/format/names.ts";
import { carryOut } from "./allowed_changes.ts";
import { settleLetters } from "./letter_settling.ts";
import { placeOf } from "../collecting/parked_views.ts";
import { countRuns } from "../collecting/run_views.ts";
import type { PauseRequest, RunChangeRequest, RunsRequest } from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";
import { CatgaError } from "../../error.ts";

/** An administration of a log in which nothing is stored. */
const NOTHING_STORED = {
  async *deadLetters() {},
  pause: (service: string, name: string) => Promise.reject(new TypeError(`there is no ${service}/${name}`)),
  resume: (_: string, name: string) => Promise.resolve([name]),
};

describe("changes of the dashboard", () => {
  it("a place that is none counts as failed, beside the letters that are replayed and those that are gone", async () => {
    const replayed: number[] = [];
    const stored = new Date(70);
    const letter = {
      position: 7,
      stored,
      due: undefined,
      replay: () => Promise.resolve(void replayed.push(7)),
    } as unknown as DeadLetter;
    const administration = {
      async *deadLetters() {
        yield await Promise.resolve(letter);
      },
    };
    const places = [7, 8].map((position) =>
      placeOf(subscriptionKey("shop", "billing"), messageId({ position, time: 10 * position }))
    );
    const change = (letters: string[]) => settleLetters(administration, { do: "replay", letters });
    assertEquals(await change(["no place"]), {
      done: 0,
      failed: 1,
      error: "it is not the place of a dead letter: no place",
    });
    assertEquals(await change([...places, "no place"]), {
      done: 1,
      failed: 2,
      error: "it is no dead letter any more",
    });
    assertEquals(replayed, [7]);
  });

  it("a group has the letters that failed with the text that the page shows, whatever their numbers, and no other", async () => {
    const replayed: string[] = [];
    const letterOf = (message: string) =>
      ({
        ...{ service: "shop", subscription: "billing", contract: "Placed" },
        error: { code: "DOWN", message },
        replay: () => Promise.resolve(void replayed.push(message)),
      }) as unknown as DeadLetter;
    const letters = ["disk 7 is full", "disk 12 is full", "disk 7 is full, and slow"].map(letterOf);
    const administration = {
      async *deadLetters() {
        yield* await Promise.resolve(letters);
      },
    };
    const matching = { contract: "Placed", group: "disk # is full" };
    const { done, failed } = await settleLetters(administration, { do: "replay", matching });
    assertEquals([done, failed, replayed], [2, 0, ["disk 7 is full", "disk 12 is full"]]);
  });

  it("a subscription that was removed is not paused, and one that exists is resumed", async () => {
    const act = (request: PauseRequest) => carryOut({} as DashboardSource, NOTHING_STORED, request);
    const of = { service: "shop", subscription: "gone" };
    assertEquals(await act({ do: "pause", ...of, reason: "x" }), {
      ...{ done: 0, failed: 1 },
      error: "there is no shop/gone",
    });
    assertEquals(await act({ do: "resume", ...of }), { done: 1, failed: 0, error: undefined });
  });

  it("a schedule that wakes a run of a workflow is not cancelled", async () => {
    const request = { do: "cancel", contract: "Order-run.due", id: "3 7:nap" } as const;
    const source = { namespace: "default", transport: {}, stream: () => Promise.resolve(undefined) };
    // cast: of the transport only the clock is read, which nothing asks here
    const { error } = await carryOut(source as unknown as DashboardSource, NOTHING_STORED, request);
    assertEquals(error, "3 7:nap wakes a run of workflow Order, which would wait for ever without it: cancel the run");
  });

  it("an error that is no CatgaError is thrown, and not counted as a change that was refused", async () => {
    const broken = () => Promise.reject(new TypeError("broken"));
    const source = {
      async *runs() {
        yield await Promise.resolve({ workflow: "Order", id: "1", pending: [], retry: broken });
      },
      cancelRun: broken,
    } as unknown as DashboardSource;
    const run = { workflow: "Order", id: "1", reason: "x" };
    const matching = { status: "stuck", workflow: "", cause: "" } as const;
    for (
      const request of [
        { do: "retry run", ...run },
        { do: "cancel run", ...run },
        { do: "retry runs", matching },
        { do: "cancel runs", matching, reason: "x" },
      ] as const
    ) {
      await assertRejects(
        () => carryOut(source, NOTHING_STORED, request),
        TypeError,
        "broken",
        request.do,
      );
    }
  });

  it("all runs that match are changed: of a workflow and status, with a part of an error", async () => {
    const done: string[] = [];
    const runOf = (id: string, message: string) => ({
      ...{ workflow: "Order", id, pending: [{ name: "upload", error: { code: "HANDLER_FAILED", message } }] },
      retry: () =>
        id === "3" ? Promise.reject(new CatgaError("NO_RUN", "it has ended")) : Promise.resolve(void done.push(id)),
    });
    const source = {
      async *runs({ workflow, status }: RunsOptions) {
        assertEquals([workflow, status], ["Order", "stuck"]);
        for (const id of ["1", "2", "3"]) {
          yield await Promise.resolve(runOf(id, id === "2" ? "no ink" : "the disk is full"));
        }
      },
      cancelRun: (...given: string[]) => Promise.resolve(void done.push(given.join(" "))),
    } as unknown as DashboardSource;
    const matching = { status: "stuck", workflow: "Order", cause: "disk" } as const;
    const act = (request: RunsRequest) => carryOut(source, NOTHING_STORED, request);
    assertEquals(await countRuns(source, matching), { count: 2 });
    assertEquals(await act({ do: "retry runs", matching }), { done: 1, failed: 1, error: "NO_RUN: it has ended" });
    assertEquals((await act({ do: "cancel runs", matching, reason: "sold" })).done, 2);
    assertEquals(done, ["1", "Order 1 sold", "Order 3 sold"]);
  });

  it("a run is asked for by its id, and a step is skipped that it does or waits for", async () => {
    const done: unknown[] = [];
    const run = {
      ...{ id: "7", pending: [{ name: "" }, { name: "charge \u202e" }] },
      retry: () => Promise.resolve(void done.push("retry")),
      skip: (...given: unknown[]) => Promise.resolve(void done.push(given)),
    } as unknown as RunInfo;
    const source = {
      async *runs({ workflow, id }: RunsOptions) {
        if (workflow === "Order" && id === "7") yield await Promise.resolve(run);
      },
      cancelRun: (...given: string[]) => Promise.resolve(void done.push(given)),
    } as unknown as DashboardSource;
    const act = async (request: RunChangeRequest) => (await carryOut(source, NOTHING_STORED, request)).error;
    const ref = { workflow: "Order", id: "7", reason: "by hand" };
    assertEquals(await act({ do: "retry run", workflow: "Order", id: "8" }), "workflow Order has no run 8");
    assertEquals(await act({ do: "retry run", ...ref }), undefined);
    assertEquals(await act({ do: "skip step", ...ref, step: "charge \\u{202e}", value: 3 }), undefined);
    assertEquals(
      await act({ do: "skip step", ...ref, step: "ship" }),
      "the run neither does nor waits for the step ship now",
    );
    assertEquals(await act({ do: "cancel run", ...ref }), undefined);
    assertEquals(done, ["retry", ["charge \u202e", 3, "by hand"], ["Order", "7", "by hand"]]);
  });
});
