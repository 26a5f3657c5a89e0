import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { DeadLetter } from "../contract/calls/durable_messages.ts";
import { chosenLetters, type LetterChoice, type ShownLetters } from "./chosen_letters.ts";

/** Some letters; those of a row differ from the first in one thing. */
const LETTERS = [
  { id: "a" },
  { id: "b", service: "mails" },
  { id: "c", subscription: "other" },
  { id: "d", contract: "Paid" },
  { id: "e", error: { code: "DOWN", message: "shop failed", cause: "Error: disk 7 is full" } },
  { id: "f", error: { code: "HANDLER_FAILED", message: "shop failed", cause: "Error: disk 9 is full\n  at there" } },
  { id: "g", error: { code: "HANDLER_FAILED", message: "disk 7 is full" } },
].map((letter) => ({
  ...{ service: "shop", subscription: "billing", contract: "Placed" },
  error: { code: "HANDLER_FAILED", message: "shop failed", cause: "Error: disk 7 is full, and more" },
  ...letter,
})) as unknown as DeadLetter[];

async function chosen(choice: LetterChoice, shown?: ShownLetters): Promise<string> {
  const all = async function* () {
    yield* LETTERS;
  };
  return (await Array.fromAsync(chosenLetters(all(), choice, shown), ({ id }) => id)).join("");
}

describe("chosenLetters", () => {
  it("all members fit; an absent one fits each letter", async () => {
    assertEquals(await chosen({}), "abcdefg");
    assertEquals(await chosen({ service: undefined }), "abcdefg");
    assertEquals(await chosen({ service: "shop" }), "acdefg");
    assertEquals(await chosen({ service: "shop", subscription: "billing" }), "adefg");
    assertEquals(await chosen({ contract: "Placed", code: "DOWN" }), "e");
    assertEquals(await chosen({ contract: "Plac" }), "");
    assertEquals(await chosen({ contract: "Paid", code: "DOWN" }), "");
  });

  it("cause: a part of what was thrown, or of the error", async () => {
    assertEquals(await chosen({ cause: "disk 7 is full" }), "abcdeg");
    assertEquals(await chosen({ cause: "at there" }), "f");
    assertEquals(await chosen({ cause: "shop failed", code: "DOWN" }), "e");
    assertEquals(await chosen({ cause: "DOWN" }), "");
  });

  it("group: the whole text that letters share which failed alike, and no other that begins so", async () => {
    const shown: ShownLetters = {
      text: (text) => text.slice(0, 4),
      group: ({ message, cause = message }) => cause.split("\n")[0].replace(/\d/, "#"),
    };
    assertEquals(await chosen({ group: "Error: disk # is full" }, shown), "ef");
    assertEquals(await chosen({ group: "Error: disk #" }, shown), "");
    assertEquals(await chosen({ group: "Error: disk # is full", code: "HAND" }, shown), "f");
    assertEquals(await chosen({ contract: "Plac" }, shown), "abcefg");
    assertEquals(await chosen({ contract: "Placed" }, shown), "");
  });
});
