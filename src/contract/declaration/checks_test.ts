import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { MAX_TIMEOUT, show } from "../../data/checks.ts";
import { checkRoute, checkTimes } from "./contract.ts";

describe("checkTimes", () => {
  it("a timeout is 1 ms to what a timer can wait; retries are 0 to 1,000", () => {
    for (const times of [{}, { timeout: undefined, retries: undefined }, { timeout: 1, retries: 0 }]) {
      checkTimes("", times);
    }
    checkTimes("", { timeout: MAX_TIMEOUT, retries: 1_000 });
    const wrong: [times: object, name: string][] = [
      [{ timeout: 0 }, "send Pay: timeout must be from 1 to 2147483647 ms"],
      [{ timeout: MAX_TIMEOUT + 1 }, "send Pay: timeout must be"],
      [{ retries: -1 }, "send Pay: retries must be from 0 to 1000"],
      [{ retries: 1_001 }, "send Pay: retries must be"],
      [{ retries: 0.5 }, "send Pay: retries must be a whole number"],
    ];
    for (const [times, message] of wrong) assertThrows(() => checkTimes("send Pay: ", times), RangeError, message);
  });
});

describe("checkRoute", () => {
  it("accepts one of the names, or any function", () => {
    for (const route of ["round-robin", "local-first", "hash", "least-loaded", "random"] as const) {
      checkRoute("", route);
    }
    checkRoute("", () => undefined);
    const names = "round-robin, local-first, hash, least-loaded, random";
    for (const route of ["Hash", "", 7, null, {}]) {
      const message = assertThrows(() => checkRoute("route", route as never), TypeError).message;
      assertEquals(message, `route must be one of ${names}, or a function; got ${show(route)}`);
    }
  });
});
