import { assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../catga.ts";

describe("misuse of an app", () => {
  it("an option that there is not is a TypeError, in every method: a misspelt one would do nothing", async () => {
    await using app = await catga();
    // @ts-expect-error: timeout
    assertThrows(() => app.drain({ timout: 5 }), TypeError, "drain: unknown option timout; it takes timeout");
    // @ts-expect-error: signal
    assertThrows(() => app.watchNodes({ signals: true }), TypeError, "watchNodes: unknown option signals");
    // @ts-expect-error: a controller is no signal
    const controller = () => app.watchNodes({ signal: new AbortController() });
    assertThrows(controller, TypeError, "watchNodes: signal must be an AbortSignal; got an object");
    // @ts-expect-error: ttl
    assertThrows(() => app.lead("x", () => {}, { tll: 5 }), TypeError, "lead: unknown option tll; it takes ttl");
  });
});
