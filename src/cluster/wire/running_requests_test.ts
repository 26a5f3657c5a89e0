import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { RunningRequests } from "./running_requests.ts";

const run = () => ({ abort() {} });

describe("RunningRequests", () => {
  it("a request is found at its place until it ends, and its frame is kept as long as one of its requests", () => {
    const running = new RunningRequests();
    const [one, two, three] = [run(), run(), run()];
    running.begun(7, 0, one);
    running.begun(7, 2, two);
    running.begun(9, 1, three);
    assertStrictEquals(running.find(7, 2), two);
    assertEquals([running.find(7, 1), running.find(8, 0)], [undefined, undefined]);
    running.ended(7, 0);
    assertEquals({ places: running.places.join(), none: running.none }, { places: "7,2,9,1", none: false });
    running.ended(7, 2);
    running.ended(9, 1);
    assertEquals({ places: running.places.join(), none: running.none }, { places: "", none: true });
  });

  it("a second end of the last request of a frame changes nothing", () => {
    const running = new RunningRequests();
    running.begun(7, 0, run());
    running.begun(8, 0, run());
    running.ended(7, 0);
    running.ended(7, 0);
    assertEquals(running.places, [8, 0]);
  });
});
