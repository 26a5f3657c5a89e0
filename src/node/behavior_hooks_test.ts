import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import type { Behavior } from "../contract/declaration/behavior.ts";
import type { Observation } from "../contract/nodes/observer.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import { BehaviorHooks } from "./behavior_hooks.ts";

// any object will do: the hooks only pass the app on
const app = {} as Catga;
const behavior = (attach: NonNullable<Behavior["attach"]>): Behavior =>
  Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { attach });
const notice: Observation = { type: "notice", text: "hello" };

/** The errors of all observations `fault` in a log. */
const faults = (log: readonly Observation[]) => log.flatMap((seen) => seen.type === "fault" ? [seen.error] : []);

describe("BehaviorHooks", () => {
  it("passes an observation to the log first, then to each attached behavior in order", async () => {
    const order: string[] = [];
    const hooks = new BehaviorHooks(() => order.push("log"));
    const observing = (name: string) => behavior(() => ({ observe: () => void order.push(name) }));
    await hooks.attach([observing("first"), observing("second")], app);
    hooks.observe(notice);
    assertEquals(order, ["log", "first", "second"]);
  });

  it("logs what a behavior throws, and what it rejects with, and passes the observation on", async () => {
    const log: Observation[] = [];
    const hooks = new BehaviorHooks((seen) => log.push(seen));
    let last = 0;
    await hooks.attach([
      behavior(() => ({
        observe: () => {
          throw "thrown";
        },
      })),
      behavior(() => ({ observe: () => Promise.reject("rejected") })),
      behavior(() => ({ observe: () => void last++ })),
    ], app);
    hooks.observe(notice);
    await Promise.resolve();
    assertEquals([faults(log), last], [["thrown", "rejected"], 1]);
  });

  it("detaches each behavior once, and passes no observation on afterwards", async () => {
    const hooks = new BehaviorHooks(() => {});
    const calls: string[] = [];
    const attached = { observe: () => void calls.push("observe"), detach: () => void calls.push("detach") };
    await hooks.attach([behavior(() => attached)], app);
    hooks.detach();
    hooks.detach();
    hooks.observe(notice);
    assertEquals(calls, ["detach"]);
  });

  it("rejects with what a behavior throws when it is attached; those before it can be detached", async () => {
    const hooks = new BehaviorHooks(() => {});
    let detached = 0;
    const good = behavior(() => ({ detach: () => void detached++ }));
    const bad = behavior(() => {
      throw new Error("cannot attach");
    });
    await assertRejects(() => hooks.attach([good, bad], app), Error, "cannot attach");
    hooks.detach();
    assertEquals(detached, 1);
  });

  it("rejects with a TypeError for what a behavior cannot return when it is attached", async () => {
    const attach = (returned: unknown) => new BehaviorHooks(() => {}).attach([behavior(() => returned as void)], app);
    await attach({ observe: undefined, detach: undefined });
    for (
      const [returned, got] of [[null, "null"], [NaN, "NaN"], [7, "7"], [[], "an array"], [() => {}, "a function"]]
    ) {
      const { message } = await assertRejects(() => attach(returned), TypeError);
      assertEquals(message, `attach of a behavior must return { observe, detach } or nothing; got ${got}`);
    }
    for (const name of ["observe", "detach"]) {
      const { message } = await assertRejects(() => attach({ [name]: 5 }), TypeError);
      assertEquals(message, `${name}, which attach of a behavior returned, must be a function; got 5`);
    }
  });
});
