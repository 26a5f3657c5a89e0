import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { FLOOR_TURNS, parseArguments, SECTIONS, USAGE, USUAL } from "./arguments.ts";

describe("arguments of the bench", () => {
  it("are not needed: all but growth, with peers", () => {
    const { sections, quick, peers, rounds, transport } = parseArguments([]);
    assertEquals([sections, quick, peers, rounds, transport], [USUAL, false, true, undefined, undefined]);
  });

  it("name sections, which run in their own order", () => {
    assertEquals(parseArguments(["remote", "local", "--quick"]).sections, ["local", "remote"]);
  });

  it("a trial is quick, too", () => {
    const { quick, trial } = parseArguments(["--trial"]);
    assertEquals({ quick, trial }, { quick: true, trial: true });
  });

  it("run as published, unless told not to", () => {
    assertEquals([parseArguments([]).published, parseArguments(["--no-published"]).published], [true, false]);
  });

  it("name growth, which takes long and runs only then", () => {
    for (
      const section of [
        "growth",
        "growth-nodes",
        "entities-growth",
        "entities-endurance",
        "workflows-growth",
        "answers",
        "check",
        "explore",
        "file",
        "limits",
        "masses",
        "weeks",
        "many-nodes",
      ] as const
    ) {
      assertEquals([USUAL.includes(section), parseArguments([section]).sections], [false, [section]]);
    }
  });

  it("name the floors, which are figures of some sections, of all of them unless some are named", () => {
    const { floors, sections } = parseArguments(["floors"]);
    assertEquals([floors, [...sections].sort()], [true, Object.keys(FLOOR_TURNS).sort()]);
    assertEquals(parseArguments(["floors", "memory", "local"]).sections, ["local", "memory"]);
    assertEquals(parseArguments([]).floors, false);
  });

  it("take options between the sections", () => {
    const wanted = parseArguments(["--json", "a.json", "local", "--rounds=9", "--no-peers", "--transport", "node"]);
    assertEquals(
      [wanted.sections, wanted.json, wanted.rounds, wanted.peers, wanted.transport],
      [["local"], "a.json", 9, false, "node"],
    );
  });

  const wrong: [args: string[], says: string][] = [
    [["fast"], "no section fast; there are local"],
    [["--rounds", "0"], "--rounds must be a whole number from 1 to 1,000; got 0"],
    [["--transport", "quic"], '--transport must be "deno" or "node"; got quic'],
    [["--fast"], "--fast"],
  ];
  for (const [args, says] of wrong) {
    it(`are refused with what is wrong: ${args.join(" ")}`, () => {
      assertThrows(() => parseArguments(args), TypeError, says);
    });
  }

  it("are all told by the help text", () => {
    for (const section of SECTIONS) assertEquals([section, USAGE.includes(section)], [section, true]);
  });
});
