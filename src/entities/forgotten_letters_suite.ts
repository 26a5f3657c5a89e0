/**
 * Tests of dead letters that subscriptions have of a forgotten entity's events; the tests run in memory and over NATS.
 */
import { assertEquals } from "@std/assert";
import { it } from "node:test";
import { command, type DeadLetter, entity, fail, unwrap } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { EntitiesHarness } from "./entities_suite.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Letter = entity("Letter", { initial: () => 0 });
const Written = Letter.event<{ text: string }>("Written", (count) => count + 1);
const Write = command<{ id: string; text: string }>("WriteLetter", { key: ({ id }) => id });
const write = Letter.handle(Write, (letter, { text }) => letter.emit(Written, { text }));

/** Defines the tests for one network. */
export function forgottenLettersSuite(harness: EntitiesHarness): void {
  it("a dead letter of a forgotten entity keeps its payload, and what waits behind it is handled when it is discarded", async () => {
    const handled: string[] = [];
    await using app = await harness.start({
      logger: QUIET,
      handlers: [
        write,
        Written.on(({ text }) => {
          if (text === "broken") return fail("BROKEN", "cannot be read", { final: true });
          handled.push(text);
        }, { name: "letters" }),
        Letter.forgotten.on(({ id }) => void handled.push(`forgotten ${id}`), { name: "letters" }),
      ],
    });
    const letters = async () => {
      const all: DeadLetter[] = [];
      for await (const letter of app.deadLetters({ subscription: "letters:entities" })) all.push(letter);
      return all;
    };
    for (const text of ["broken", "behind"]) unwrap(await app.send(Write, { id: "l", text }));
    await eventually("what waits behind it", async () => (await letters())[0]?.heldBehind === 1);
    await app.forget(Letter, "l");
    await eventually("that it was forgotten", () => handled.length === 1);
    const [letter, ...more] = await letters();
    assertEquals([letter.payload, letter.heldBehind, more.length], [{ text: "broken" }, 1, 0]);
    await letter.discard();
    await eventually("what waited", () => handled.length === 2);
    assertEquals(handled, ["forgotten l", "behind"]);
    await eventually("no letters", async () => (await letters()).length === 0);
  });
}
