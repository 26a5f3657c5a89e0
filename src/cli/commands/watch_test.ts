/**
 * Tests of which names `catga watch` accepts, and of a connection that is lost. `cli_test.ts` tests its events on a
 * real server.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { quietTerminal } from "../../../test/support/quiet_terminal.ts";
import { wrongUsage } from "../../../test/support/wrong_usage.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { cli } from "../main.ts";

const watch = (...args: string[]) => wrongUsage("watch", ...args);

describe("watch: its command line", () => {
  it("accepts the names of events, and wildcards for whole tokens", async () => {
    const names = ["OrderCreated", "orders.Created-2_x", "orders.*", "*.Created", "*.*", "orders.>", "*.orders.>", ">"];
    for (const name of names) assertEquals(await watch(name), undefined, name);
    assertEquals(await watch(), undefined);
  });

  it("refuses wildcards within a token, and > before the end", async () => {
    for (const name of ["a*", "*a", "a.b*", "**", "a>", "a.>.b", ">.a", ">>"]) {
      const wanted = `${JSON.stringify(name)} is not the name of an event, such as OrderCreated, orders.* or orders.>`;
      assertEquals(await watch(name), wanted);
    }
  });

  it("refuses empty tokens, and characters that no event's name has", async () => {
    for (const name of ["", ".", "a.", ".a", "a..b", "a b", "a\n", "a/b", "@shop", "é", "$JS"]) {
      assertMatch(await watch(name) ?? "", /is not the name of an event/, name);
    }
  });

  it("--count takes a whole number from 1", async () => {
    assertEquals(await watch("--count", "1"), undefined);
    assertMatch(
      await watch("--count", "0") ?? "",
      /^--count takes a whole number from 1 to 9007199254740991; got "0"$/,
    );
  });
});

describe("watch: a lost connection", await requireNatsServer(), () => {
  it("is reported, as events are missed until it is back", { timeout: 300_000 }, async () => {
    const server = await startNatsServer();
    const stop = new AbortController();
    const said: string[] = [];
    let wake = () => {};
    const say = (line: string) => {
      said.push(line);
      wake();
    };
    const lines = async (count: number) => {
      while (said.length < count) await new Promise<void>((resolve) => wake = resolve);
    };
    const ended = cli(["watch", "-s", server.url], quietTerminal({ say, signal: stop.signal }));
    await lines(1);
    await server.kill("SIGKILL");
    await lines(2);
    await using _again = await startNatsServer({ port: server.port });
    await lines(3);
    stop.abort();
    assertEquals(await ended, 0);
    assertEquals(said.slice(1), [
      "the connection to NATS is lost: events are missed until it is back",
      "connected to NATS again",
    ]);
    await server.stop();
  });
});
