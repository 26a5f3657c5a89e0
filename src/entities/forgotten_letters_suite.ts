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
  it("what waits of a forgotten entity, dead letters too, goes with it and is not handed out again (it stayed, with its payload)", async () => {
    const [handled, tried]: [string[], string[]] = [[], []];
    await using app = await harness.start({
      logger: QUIET,
      handlers: [
        write,
        Written.on(({ text }) => {
          tried.push(text);
          if (text === "broken") return fail("BROKEN", "cannot be read", { final: true });
          handled.push(text);
        }, { name: "letters" }),
        // nobody handles the event that the entity was forgotten
        Written.on(() => fail("DOWN", "the mail server is down"), {
          name: "mails",
          retry: { attempts: 20, delay: [600_000, 600_000] },
        }),
      ],
    });
    const letters = async () => {
      const all: DeadLetter[] = [];
      for await (const letter of app.deadLetters({ subscription: "letters:entities" })) all.push(letter);
      return all;
    };
    for (const text of ["broken", "behind", "behind"]) unwrap(await app.send(Write, { id: "l", text }));
    unwrap(await app.send(Write, { id: "other", text: "broken" }));
    await eventually("what waits behind it", async () => (await letters()).some(({ heldBehind }) => heldBehind === 2));
    const waiting = async () => {
      const own = (await app.subscriptions()).filter(({ name }) =>
        ["letters:entities", "mails:entities"].includes(name)
      );
      return own.map(({ name, retrying, dead }) => [name, retrying, dead]).join();
    };
    await eventually("the attempts", async () => await waiting() === "letters:entities,2,2,mails:entities,4,0");
    await app.forget(Letter, "l");
    await eventually(
      "the end of all of it",
      async () => await waiting() === "letters:entities,0,1,mails:entities,1,0",
    );
    assertEquals((await letters()).map(({ key, payload }) => [key, payload]), [["other", { text: "broken" }]]);
    // new messages go on, also for the subscription that has an attempt due only in ten minutes
    unwrap(await app.send(Write, { id: "new", text: "new" }));
    await eventually("the next one", () => handled.length === 1);
    assertEquals([handled, tried.sort()], [["new"], ["broken", "broken", "new"]]);
  });
}
