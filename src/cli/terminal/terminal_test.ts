import { describe, it } from "node:test";
import process from "node:process";
import { assertEquals } from "@std/assert";
import { quietTerminal } from "../../../test/support/quiet_terminal.ts";
import { cli } from "../main.ts";
import { bold, dim } from "./terminal.ts";

const colored = quietTerminal({ colors: true });
const plain = quietTerminal();

describe("bold and dim", () => {
  it("mark a text in a terminal with colors, and return it unchanged in one without", () => {
    assertEquals(bold(colored, "NODE"), "\x1b[1mNODE\x1b[22m");
    assertEquals(dim(colored, "12:00"), "\x1b[2m12:00\x1b[22m");
    assertEquals([bold(plain, "NODE"), dim(plain, "12:00")], ["NODE", "12:00"]);
  });
});

describe("cli on the terminal of its process", () => {
  it("leaves no listener behind", async () => {
    const { stdout, stderr } = process;
    const listeners =
      () => [stdout.listenerCount("error"), stderr.listenerCount("error"), process.listenerCount("SIGINT")];
    const before = listeners();
    // nothing listens at port 1: the command ends when it cannot connect
    assertEquals(await cli(["top", "--nats", "nats://127.0.0.1:1"]), 1);
    assertEquals(await cli(["--version"]), 0);
    assertEquals(listeners(), before);
  });
});
