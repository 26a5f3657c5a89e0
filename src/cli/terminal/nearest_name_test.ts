import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { cliHere } from "../../../test/support/cli_here.ts";
import { nearest } from "./nearest_name.ts";

describe("nearest", () => {
  it("finds a name with a wrong, missing, additional or swapped letter, or the begin of one, and no other", () => {
    const names = ["nodes", "top", "doctor", "run", "runs", "subscriptions", "schedules", "dashboard"];
    const cases = {
      ...{ node: "nodes", doctro: "doctor", Doctor: "doctor", tpo: "top", run: "run", scheduls: "schedules" },
      ...{ sub: "subscriptions", dash: "dashboard", subscription: "subscriptions" },
    };
    assertEquals(Object.fromEntries(Object.keys(cases).map((word) => [word, nearest(word, names)])), cases);
    assertEquals(["", "x", "payments", "help me"].map((word) => nearest(word, names)), Array(4).fill(undefined));
    assertEquals(nearest("x", []), undefined);
  });

  it("is what catga answers to a command that is not there", async () => {
    const { code, err } = await cliHere(["doctro"]);
    assertEquals([code, err.includes('there is no command "doctro"; did you mean doctor?')], [2, true]);
    const { err: all } = await cliHere(["payments"]);
    assertEquals(all.includes("there are nodes, top, doctor"), true);
  });
});
