/** Tests, on virtual time, of commands of entities while their stream has no room. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { unwrap } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { CatgaError } from "../error.ts";
import { delay } from "../ports/clock.ts";
import type { Appended, AppendReceiver, ConditionalAppend, LogStream } from "../ports/event_log.ts";
import { AddItem, handlers } from "./entities_suite.ts";

// this module is loaded before the tests: while a node loads it, virtual time would pass
import "./entities.ts";

/** Time that the stream takes to answer, in ms. */
const ANSWER = 3;
const READS: ReadonlySet<string | symbol> = new Set(["last", "at", "read", "state"]);

describe("commands of entities in a full store", () => {
  it("fail with what the store answered, wherever between two attempts their deadline is", async () => {
    await using cluster = new MemoryCluster();
    const { clock, network } = cluster;
    let full = false;
    const refuse = (receiver: AppendReceiver, due: number) => {
      const left = due - clock.monotonic();
      const appended: Appended = left < ANSWER
        ? { type: "unknown", error: new CatgaError("OUTCOME_UNKNOWN", "it did not acknowledge a message in time") }
        : { type: "not stored", transient: true, error: new CatgaError("UNAVAILABLE", "the store is full") };
      clock.after(Math.min(left, ANSWER), () => receiver.appended(appended, clock.monotonic()));
    };
    const refusing = (stream: LogStream) =>
      new Proxy(stream, {
        get(target, name) {
          const member = Reflect.get(target, name, target);
          if (typeof member !== "function") return member;
          if (!full) return member.bind(target);
          if (name === "appendNext") {
            return (receiver: AppendReceiver, _: string, __: string, { due }: ConditionalAppend) =>
              refuse(receiver, due);
          }
          if (!READS.has(name)) return member.bind(target);
          return async (...args: unknown[]) => {
            await delay(clock, ANSWER);
            return await member.apply(target, args);
          };
        },
      });
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const connection = connect(options);
      const { log } = connection;
      return Object.assign(connection, {
        log: { open: async (...args: Parameters<typeof log.open>) => refusing(await log.open(...args)) },
      });
    };
    const app = await cluster.start("a", { handlers });
    unwrap(await clock.until(app.send(AddItem, { cartId: "c", sku: "tea" })));
    full = true;
    const failures: string[] = [];
    const send = async (cartId: string, timeout: number) => {
      const result = await app.send(AddItem, { cartId, sku: "tea" }, { timeout });
      const failure = result.ok ? "ok" : `${result.error.code} ${result.error.message}`;
      const last = "was not applied: its deadline has passed; last error: the store is full";
      if (failure !== `UNAVAILABLE AddItem of Cart ${cartId} ${last}`) failures.push(failure);
    };
    await clock.until(Promise.all(Array.from({ length: 200 }, (_, n) => send(`many-${n}`, 1_000 + 20 * n))));
    // only one command is under way at a time, so that no other command shows that the stream answers
    for (let n = 0; n < 60; n++) await clock.until(send(`one-${n}`, 4_000 + 50 * n));
    assertEquals(failures, []);
    // commands of one entity are appended in one message, whose first command has the nearest deadline
    await clock.until(Promise.all(Array.from({ length: 40 }, (_, n) => send("shared", 1_000 + 37 * n))));
    assertEquals(failures, []);
  });
});
