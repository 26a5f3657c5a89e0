import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { quietTerminal } from "../../test/support/quiet_terminal.ts";
import { aborted, bold, dim } from "./terminal.ts";

const colored = quietTerminal({ colors: true });
const plain = quietTerminal();

describe("bold and dim", () => {
  it("mark a text in a terminal with colors, and return it unchanged in one without", () => {
    assertEquals(bold(colored, "NODE"), "\x1b[1mNODE\x1b[22m");
    assertEquals(dim(colored, "12:00"), "\x1b[2m12:00\x1b[22m");
    assertEquals([bold(plain, "NODE"), dim(plain, "12:00")], ["NODE", "12:00"]);
  });
});

describe("aborted", () => {
  it("resolves when the signal aborts, and not before", async () => {
    const stop = new AbortController();
    const order: string[] = [];
    const waiting = aborted(stop.signal).then(() => order.push("resolved"));
    await Promise.resolve();
    order.push("abort");
    stop.abort();
    await waiting;
    assertEquals(order, ["abort", "resolved"]);
  });

  it("resolves if the signal has aborted before", { timeout: 5_000 }, async () => {
    assertEquals(await aborted(AbortSignal.abort("Ctrl-C")), undefined);
  });
});
