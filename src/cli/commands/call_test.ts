/**
 * Tests of what `catga call` reads from its command line, before it connects. `cli_test.ts` tests its answers on a
 * real server.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { quietTerminal } from "../../../test/support/quiet_terminal.ts";
import { wrongUsage } from "../../../test/support/wrong_usage.ts";
import { cli } from "../main.ts";

const call = (...args: string[]) => wrongUsage("call", ...args);

describe("call: its command line", () => {
  it("the payload may be left out, or be any JSON", async () => {
    for (const payload of [[], ["{}"], ["null"], ['"text"'], ["[1,2]"], [" 7 "]]) {
      assertEquals(await call("Touch", ...payload), undefined, `${payload}`);
    }
  });

  it("a payload that is not JSON is shown, cut to 60 characters", async () => {
    assertMatch(await call("Touch", "{bad") ?? "", /^the payload is not JSON: "\{bad" \(.+\)$/);
    assertMatch(await call("Touch", "") ?? "", /^the payload is not JSON: "" \(/);
    assertMatch(await call("Touch", "x".repeat(60)) ?? "", /^the payload is not JSON: "x{60}" \(/);
    assertMatch(await call("Touch", "x".repeat(61)) ?? "", /^the payload is not JSON: "x{60}…" \(/);
  });

  it("standard input is read for -, and for nothing else", async () => {
    let [said, reads] = ["", 0];
    const run = (input: string, ...args: string[]) =>
      cli(
        ["call", "Touch", ...args, "--nats", "http://x"],
        quietTerminal({
          say: (line) => void (said = line),
          read: () => {
            reads++;
            return Promise.resolve(input);
          },
        }),
      );
    for (const args of [[], ['"-"'], ["1", "--id", "-"]]) await run("{", ...args);
    assertEquals(reads, 0);
    await run('{ "amount": 1 }\n', "-");
    assertMatch(said, /^catga: --nats, or NATS_URL, must be an address/);
    await run("{", "-");
    assertStringIncludes(said, 'the payload is not JSON: "{" (');
    assertEquals(reads, 2);
  });

  it("a name that no contract can have is wrong usage", async () => {
    assertEquals(await call("orders.Create-1_x"), undefined);
    for (const name of ["a b", "", ".a", "a..b", "orders.*", "@shop/billing"]) {
      assertMatch(await call(name) ?? "", /^a contract's name is /, name);
    }
  });

  it("--id takes 1 to 256 characters, --node the id of a node", async () => {
    for (const id of ["x", "x".repeat(256)]) assertEquals(await call("Touch", "--id", id), undefined);
    for (const id of ["", "x".repeat(257)]) {
      assertEquals(await call("Touch", "--id", id), "--id takes 1 to 256 characters");
    }
    assertEquals(await call("Touch", "--node", "orders-1"), undefined);
    assertMatch(await call("Touch", "--node", "a.b") ?? "", /^--node must be 1 to 64 .*; got "a\.b"$/);
  });

  it("--header takes a name and a value, which may be empty", async () => {
    assertEquals(await call("Touch", "-H", "a=", "-H", "b=c=d", "-H", "e=1\n2"), undefined);
    for (const header of ["x", "=x", ""]) {
      const wanted = `--header takes NAME=VALUE; got ${JSON.stringify(header)}`;
      assertEquals(await call("Touch", "-H", "a=1", "-H", header), wanted);
    }
  });

  it("--route takes the name of a strategy, and hash only with a key", async () => {
    for (const route of ["round-robin", "least-loaded", "random"]) {
      assertEquals(await call("Touch", "--route", route), undefined);
    }
    assertEquals(await call("Touch", "--route", "hash", "--key", "k"), undefined);
    assertEquals(await call("Touch", "--route", "hash"), "--route hash needs a --key");
    assertEquals(
      await call("Touch", "--route", "best"),
      '--route takes round-robin, hash, least-loaded, random; got "best"',
    );
  });

  it("--all excludes what chooses one node", async () => {
    assertEquals(await call("Touch", "--all", "--key", "k", "--id", "i"), undefined);
    assertEquals(await call("Touch", "--node", "a", "--all"), "--node and --all exclude each other");
    assertEquals(await call("Touch", "--route", "random", "--all"), "--route and --all exclude each other");
  });
});
