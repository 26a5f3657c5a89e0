import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { parseArguments, SECTIONS } from "./arguments.ts";
import { argumentsOfRound } from "./side_by_side.ts";

describe("a round of two builds side by side", () => {
  it("has no peers but the one that an aim names: Restate beside workflows", () => {
    const wanted = parseArguments([]);
    const withPeers = SECTIONS.filter((section) => !argumentsOfRound(section, wanted).includes("--no-peers"));
    assertEquals(withPeers, ["workflows"]);
  });

  it("has no peers at all with --no-peers", () => {
    const options = argumentsOfRound("workflows", parseArguments(["--no-peers"]));
    assertEquals(options, ["workflows", "--rounds", "1", "--no-peers"]);
  });

  it("is as short, on the same packages and over the same transport as the comparison", () => {
    const wanted = parseArguments(["--quick", "--no-published", "--transport", "node", "--rounds", "3"]);
    assertEquals(argumentsOfRound("workflows", wanted), [
      ...["workflows", "--rounds", "1", "--quick", "--no-published"],
      ...["--transport", "node"],
    ]);
  });

  it("has as many rounds as each part of a section takes, where the floors are wanted", () => {
    assertEquals(argumentsOfRound("types", parseArguments(["floors"])), ["floors", "types", "--no-peers"]);
  });
});
