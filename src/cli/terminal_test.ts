import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { aborted, bold, dim, type Terminal } from "./terminal.ts";

const terminal = (colors: boolean): Terminal => ({
  write: () => {},
  say: () => {},
  read: () => Promise.resolve(""),
  colors,
  environment: {},
  signal: new AbortController().signal,
});

describe("bold and dim", () => {
  it("mark a text in a terminal with colors, and return it unchanged in one without", () => {
    assertEquals(bold(terminal(true), "NODE"), "\x1b[1mNODE\x1b[22m");
    assertEquals(dim(terminal(true), "12:00"), "\x1b[2m12:00\x1b[22m");
    assertEquals([bold(terminal(false), "NODE"), dim(terminal(false), "12:00")], ["NODE", "12:00"]);
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
