import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { quietTerminal } from "../../test/support/quiet_terminal.ts";
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
